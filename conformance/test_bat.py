"""Chapter 18: batching, as the peers of the mesh client see it (BAT-1 to BAT-6)."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from google.rpc import error_details_pb2

from blackhole.conformance.v1 import driver_pb2

from .harness import bounds
from .harness.arrivals import Arrival
from .harness.bounds import until
from .harness.driver import Driver
from .harness.fixtures_client import DRIVEN
from .harness.history import expect_elapsed
from .harness.judging import expect, inconclusive
from .harness.nodes import Node
from .harness.outcomes import Outcome
from .harness.peer import Peer
from .harness.replies import echo, fails, held, results
from .harness.service import seconds

MAX_SIZE: int = DRIVEN["quick"]["batch"]["max_size"]
"""Items that make a batch full."""

TIMED = pytest.mark.driven("pooling")
"""The driver whose batches leave by their timer. On `quick` no timer cuts one while a test runs,
however long the host takes to submit its items."""

MAX_WAIT = seconds(DRIVEN["pooling"]["batch"]["max_wait"])
"""Seconds from a batch's first item to its flush on that driver."""

ITEMS = tuple(b"item %d" % number for number in range(MAX_SIZE))
OTHERS = tuple(b"other %d" % number for number in range(MAX_SIZE))
MORE = tuple(b"more %d" % number for number in range(MAX_SIZE - 1))

SHUFFLED = (b"d", b"a", b"e", b"b", b"c")
"""Items whose order is neither that of their names nor its reverse."""

ALONE = {"batch": {"max_size": 1, "max_wait": "30s"}}

NEVER_DUE = {"batch": {"max_size": MAX_SIZE, "max_wait": "30s"}, "default_timeout": "5s"}

Submitted = Sequence[asyncio.Task[Outcome]]


async def test_bat_1_a_full_batch_leaves_at_once(driver: Driver, peer: Peer, name: str) -> None:
    """BAT-1: max_size items are one call at once, also while another batch is unanswered."""
    peer.otherwise = held(echo())

    submitted = []
    for number, items in enumerate((ITEMS, OTHERS)):
        since = time.monotonic()
        submitted += driver.submits(name, *items)
        batch = await _arrives(peer, number)
        expect(sorted(batch.payloads), equals=sorted(items), what="items of the call")
        expect_elapsed(batch.time - since, since=since, at_most=0.0, what="time until it arrives")

    expect(len(peer.in_flight), equals=2, what="calls in flight")
    peer.release()
    expect(_codes(await _results(submitted)), equals=["OK"] * 2 * MAX_SIZE, what="codes of items")


async def test_bat_1_what_is_too_much_for_one_batch_is_several(
    driver: Driver, peer: Peer, name: str
) -> None:
    """BAT-1: No call holds more than max_size items, however many come at once."""
    items = (*ITEMS, *OTHERS, b"one more")

    submitted = driver.submits(name, *items)
    await until(
        lambda: sum(len(batch.payloads) for batch in peer.arrivals) >= 2 * MAX_SIZE,
        bound=bounds.PROMPT,
        what=f"{2 * MAX_SIZE} items arrive",
        seen=lambda: peer.arrivals,
    )
    sizes = [len(batch.payloads) for batch in peer.arrivals]
    expect(sizes, equals=[MAX_SIZE] * 2, what="number of items of each call, so far")
    submitted += driver.submits(name, *MORE)

    outcomes = await _results(submitted)
    sizes = [len(batch.payloads) for batch in peer.arrivals]
    expect(sizes, equals=[MAX_SIZE] * 3, what="number of items of each call")
    expect(
        sorted(item for batch in peer.arrivals for item in batch.payloads),
        equals=sorted((*items, *MORE)),
        what="items of all calls",
    )
    expect(_codes(outcomes), equals=["OK"] * 3 * MAX_SIZE, what="codes of items")


async def test_bat_1_a_batch_may_be_one_item(node: Node) -> None:
    """BAT-1: Where max_size is 1, every item is a call of its own, at once."""
    driver = await node.drive(ALONE)
    peer = await node.peer("p")
    await driver.finds("p")

    outcomes = await _results(driver.submits("p", *ITEMS))

    expect(_codes(outcomes), equals=["OK"] * MAX_SIZE, what="codes of items")
    expect(
        sorted(batch.payloads for batch in peer.arrivals),
        equals=[(item,) for item in ITEMS],
        what="items of each call",
    )


@TIMED
async def test_bat_2_a_batch_leaves_max_wait_after_its_first_item(
    driver: Driver, peer: Peer, name: str
) -> None:
    """BAT-2: Fewer items leave max_wait after the first of them, whenever the last one came."""
    since = time.monotonic()
    submitted = driver.submits(name, b"first")
    await _passes(since + MAX_WAIT / 2)
    submitted += await _adds(driver, name, b"last")
    if time.monotonic() >= since + MAX_WAIT:
        inconclusive("the last item was not added before the batch was due")

    batch = await _arrives(peer, 0)

    expect_elapsed(
        batch.time - since, since=since, at_least=MAX_WAIT, at_most=MAX_WAIT,
        what="time from the first item to the call",
    )  # fmt: skip
    expect(sorted(batch.payloads), equals=[b"first", b"last"], what="items of the call")
    expect(_codes(await _results(submitted)), equals=["OK"] * 2, what="codes of items")
    expect(len(peer.arrivals), equals=1, what="calls")


async def test_bat_3_items_keep_their_order(driver: Driver, peer: Peer, name: str) -> None:
    """BAT-3: The items of a batch are in the order in which they were added."""
    submitted: list[asyncio.Task[Outcome]] = []

    for item in SHUFFLED:
        submitted += await _adds(driver, name, item)

    expect(_codes(await _results(submitted)), equals=["OK"] * MAX_SIZE, what="codes of items")
    expect(
        [batch.payloads for batch in peer.arrivals],
        equals=[SHUFFLED],
        what="items of each call, in order",
    )


async def test_bat_4_every_item_gets_its_own_result(driver: Driver, peer: Peer, name: str) -> None:
    """BAT-4: The result of an item is the one at its position."""
    answers = [b"result %d" % number for number in range(MAX_SIZE)]
    peer.answers(results(*answers))

    submitted = driver.submits(name, *ITEMS)

    batch = await _arrives(peer, 0)
    expect(sorted(batch.payloads), equals=sorted(ITEMS), what="items of the call")
    at_position = dict(zip(batch.payloads, answers, strict=True))
    expect(
        [(outcome.code, outcome.payloads) for outcome in await _results(submitted)],
        equals=[("OK", (at_position[item],)) for item in ITEMS],
        what="code and result of each item",
    )


async def test_bat_4_a_failed_call_fails_its_items_alone(
    driver: Driver, peer: Peer, name: str
) -> None:
    """BAT-4: Each item of a failed call fails as the call did, and no item of another."""
    detail = error_details_pb2.ErrorInfo(reason="FULL")
    peer.answers(held(fails("FAILED_PRECONDITION", "no", [detail])), held(echo()))

    failing = driver.submits(name, *ITEMS)
    await peer.arrived(1)
    serving = driver.submits(name, *OTHERS)
    await peer.arrived(2)
    peer.release()

    expect(
        [(one.code, one.message, _reasons(one)) for one in await _results(failing)],
        equals=[("FAILED_PRECONDITION", "no", ["FULL"])] * MAX_SIZE,
        what="code, message and details of each item of the failed call",
    )
    expect(_codes(await _results(serving)), equals=["OK"] * MAX_SIZE, what="codes of the others")
    expect(len(peer.arrivals), equals=2, what="calls")


@TIMED
async def test_bat_4_a_failure_after_max_wait_reaches_its_callers(
    driver: Driver, peer: Peer, name: str
) -> None:
    """BAT-4: Whoever waits for a batch that the timer sent learns that it failed."""
    peer.answers(fails("ABORTED", "lost"))
    few = ITEMS[:2]
    since = time.monotonic()

    submitted = driver.submits(name, *few)
    _expect_uncut(await _arrives(peer, 0), few, since)

    expect(
        [(outcome.code, outcome.message) for outcome in await _results(submitted)],
        equals=[("ABORTED", "lost")] * len(few),
        what="code and message of each item",
    )
    expect(
        [sorted(batch.payloads) for batch in peer.arrivals],
        equals=[sorted(few)],
        what="items of each call",
    )
    after = await _results(driver.submits(name, *OTHERS))
    expect(_codes(after), equals=["OK"] * MAX_SIZE, what="codes of the next items")


async def test_bat_4_a_call_fails_only_after_its_retries(
    driver: Driver, peer: Peer, name: str
) -> None:
    """BAT-4: A batch is retried as any call is, and its items do not see it."""
    peer.answers(fails("UNAVAILABLE"), echo())

    outcomes = await _results(driver.submits(name, *ITEMS))

    expect(
        [(outcome.code, outcome.payloads) for outcome in outcomes],
        equals=[("OK", (item,)) for item in ITEMS],
        what="code and result of each item",
    )
    expect(
        [(batch.header("x-retry-attempt"), sorted(batch.payloads)) for batch in peer.arrivals],
        equals=[("1", sorted(ITEMS)), ("2", sorted(ITEMS))],
        what="attempt and items of each call",
    )


@pytest.mark.parametrize("count", [0, MAX_SIZE - 1, MAX_SIZE + 1])
async def test_bat_4_another_number_of_results_is_internal(
    driver: Driver, peer: Peer, name: str, count: int
) -> None:
    """BAT-4: An answer with another number of results than items is INTERNAL for every item."""
    peer.answers(results(*[b"result"] * count))

    wrong = await _results(driver.submits(name, *ITEMS))

    expect(_codes(wrong), equals=["INTERNAL"] * MAX_SIZE, what=f"codes of items, {count} results")
    expect(len(peer.arrivals), equals=1, what="calls")
    after = await _results(driver.submits(name, *OTHERS))
    expect(_codes(after), equals=["OK"] * MAX_SIZE, what="codes of the next items")


@TIMED
async def test_bat_5_a_full_batch_stops_its_timer(driver: Driver, peer: Peer, name: str) -> None:
    """BAT-5: The timer of a batch that left full does not send what comes after it."""
    since = time.monotonic()
    submitted = driver.submits(name, *ITEMS)
    _expect_uncut(await _arrives(peer, 0), ITEMS, since)

    await _passes(since + MAX_WAIT / 2)
    later = time.monotonic()
    submitted += driver.submits(name, b"later")
    batch = await _arrives(peer, 1)

    expect_elapsed(
        batch.time - later, since=later, at_least=MAX_WAIT, at_most=MAX_WAIT,
        what="time from the later item to its call",
    )  # fmt: skip
    expect(_codes(await _results(submitted)), equals=["OK"] * (MAX_SIZE + 1), what="codes of items")
    expect(
        [sorted(batch.payloads) for batch in peer.arrivals],
        equals=[sorted(ITEMS), [b"later"]],
        what="items of each call",
    )


@TIMED
async def test_bat_5_no_call_is_empty(driver: Driver, peer: Peer, name: str) -> None:
    """BAT-5: After a full batch nothing is sent until there is another item."""
    since = time.monotonic()
    submitted = driver.submits(name, *ITEMS)
    _expect_uncut(await _arrives(peer, 0), ITEMS, since)

    await _passes(time.monotonic() + MAX_WAIT)
    # By the time that these arrive, whatever the first ones had left behind has arrived.
    since = time.monotonic()
    submitted += driver.submits(name, *OTHERS)

    expect(_codes(await _results(submitted)), equals=["OK"] * 2 * MAX_SIZE, what="codes of items")
    _expect_uncut(peer.arrivals[-1], OTHERS, since)
    expect(
        [sorted(batch.payloads) for batch in peer.arrivals],
        equals=[sorted(ITEMS), sorted(OTHERS)],
        what="items of each call",
    )


async def test_bat_6_closing_flushes_what_is_left(node: Node) -> None:
    """BAT-6: Close sends the items of every service, and returns once they have their results."""
    driver = await node.drive(NEVER_DUE)
    few, one = await node.peer("few"), await node.peer("one")
    submitted = []
    for peer, items in ((few, (b"1", b"2", b"3")), (one, (b"4",))):
        peer.otherwise = held(echo())
        await driver.finds(peer.name)
        for item in items:
            submitted += await _adds(driver, peer.name, item)
    expect([few.arrivals, one.arrivals], equals=[[], []], what="calls before it is closed")

    closing = asyncio.create_task(driver.close())
    batches = [*await few.arrived(1), *await one.arrived(1)]
    await driver.check()
    closed_early = closing.done()
    for peer in (few, one):
        peer.release()
    await closing

    expect(
        [sorted(batch.payloads) for batch in batches],
        equals=[[b"1", b"2", b"3"], [b"4"]],
        what="items of the call to each",
    )
    expect(closed_early, equals=False, what="whether Close returns while they are unanswered")
    expect(_codes(await _results(submitted)), equals=["OK"] * 4, what="codes of items")
    late = await driver.ask("Submit", driver_pb2.SubmitRequest(service="few", item=b"5"))
    expect(
        (late.code, late.message, len(few.arrivals)),
        equals=("FAILED_PRECONDITION", "the client is closed", 1),
        what="Submit once it is closed, and calls in all",
    )


async def _adds(driver: Driver, name: str, item: bytes) -> list[asyncio.Task[Outcome]]:
    """Submit an item, and wait until it was added: what was asked for after it is answered."""
    submitted = driver.submits(name, item)
    await asyncio.sleep(0)
    await driver.resolve(name)
    return submitted


async def _arrives(peer: Peer, number: int) -> Arrival:
    """Wait for a call, the `number`-th from 0, and for all of its items."""
    batch = (await peer.arrived(number + 1))[number]
    await until(
        lambda: batch.complete is not None,
        bound=bounds.PROMPT,
        what=f"call {number} is complete",
        seen=lambda: batch,
    )
    return batch


def _expect_uncut(batch: Arrival, items: Sequence[bytes], since: float) -> None:
    """Make sure that a timer did not end a batch while items were still being submitted to it.

    Raises:
        Inconclusive: the host took so long to submit them that the batch was due before.
    """
    if len(batch.payloads) < len(items) and batch.time >= since + MAX_WAIT:
        inconclusive(f"{len(items)} items were not submitted within {MAX_WAIT:g} s")


async def _results(submitted: Submitted) -> list[Outcome]:
    """Wait until each item has its result.

    Raises:
        NonConformance: one has none.
    """
    await until(
        lambda: all(task.done() for task in submitted),
        bound=bounds.PROMPT,
        what="each item has its result",
        seen=lambda: [task.result() if task.done() else "none" for task in submitted],
    )
    return [task.result() for task in submitted]


async def _passes(moment: float) -> None:
    """Wait until a moment of the monotonic clock."""
    await until(lambda: time.monotonic() >= moment, bound=bounds.PROMPT, what="time passes")


def _codes(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.code for outcome in outcomes]


def _reasons(outcome: Outcome) -> list[str]:
    """Return what the details of a failure say."""
    found = []
    for detail in outcome.details:
        info = error_details_pb2.ErrorInfo()
        detail.Unpack(info)
        found.append(info.reason)
    return found
