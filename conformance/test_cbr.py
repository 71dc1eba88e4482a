"""Chapter 17: the circuit breaker, closed and open (CBR-1 to CBR-3, CBR-6 to CBR-8, CBR-10)."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from .harness.bounds import until
from .harness.circuit import DOWN, REFUSED, Circuit
from .harness.driver import Driver
from .harness.fixtures_client import DRIVEN, Peers
from .harness.history import expect_delays, expect_elapsed, expect_host
from .harness.judging import expect
from .harness.kinds import KINDS
from .harness.nodes import Node
from .harness.outcomes import Outcome
from .harness.peer import Peer
from .harness.replies import PING, Reply, echo, fails, hangs, ok
from .harness.service import seconds

pytestmark = pytest.mark.driven("breaking")

BLAME_THE_SERVER = (
    "UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED",
)  # fmt: skip
"""The codes that count by default."""

BLAME_THE_CALLER = (
    "CANCELLED", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "DATA_LOSS",
    "UNAUTHENTICATED",
)  # fmt: skip
"""All the others."""

BACKOFF = 0.1
"""Seconds between attempts where calls are retried: the delays of a refusal that is retried are
three of these, which is more than a refusal at once may take."""

RETRYING = {
    "retry": {"max_attempts": 4, "initial_backoff": f"{BACKOFF}s", "backoff_multiplier": 1},
    "circuit": {"failure_threshold": 2},
}

PATIENCE = 1.5
"""Seconds of the deadline of a caller who would wait six times as long as the circuit does."""

BROKEN = DRIVEN["broken"]

RESCANNED = seconds(BROKEN["registry"]["rescan_interval"])
"""Seconds after which a socket that came back is known ("broken")."""


@pytest.mark.parametrize("code", BLAME_THE_SERVER)
async def test_cbr_1_failures_in_a_row_open_the_circuit(
    peer: Peer, circuit: Circuit, code: str
) -> None:
    """CBR-1: failure_threshold failures in a row open the circuit, and not one fewer."""
    failed = await circuit.calls(*[fails(code, "down")] * circuit.failures)

    expect(
        [_told(outcome) for outcome in failed],
        equals=[(code, "down")] * circuit.failures,
        what="outcomes of the failing calls",
    )
    expect(len(peer.arrivals), equals=circuit.failures, what="calls that arrive before it is open")

    await circuit.refuses()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "UNARY"])
async def test_cbr_1_calls_of_every_kind_count(peer: Peer, circuit: Circuit, kind: str) -> None:
    """CBR-1: Failures of calls with streams open the circuit like those of unary calls."""
    failed = await circuit.calls(*[DOWN] * circuit.failures, method=kind)

    expect(_codes(failed), equals=["UNAVAILABLE"] * circuit.failures, what="their codes")
    expect(len(peer.arrivals), equals=circuit.failures, what="calls that arrive before it is open")

    await circuit.refuses(kind)


@pytest.mark.driven("broken")
async def test_cbr_1_a_server_that_is_away_counts(driver: Driver, peers: Peers, name: str) -> None:
    """CBR-1: A call that finds nobody to connect to is a failure."""
    threshold = BROKEN["circuit"]["failure_threshold"]
    away = {f"{name}.{count}": count for count in (threshold - 1, threshold)}
    for each, count in away.items():
        peer = await peers(each)
        before = await driver.call(each)
        expect((before.code, len(peer.arrivals)), equals=("OK", 1), what="a call before it goes")
        await peer.close(leave=True)
        failed = [await driver.call(each) for _ in range(count)]
        expect(_codes(failed), equals=["UNAVAILABLE"] * count, what="codes while it is away")

    arrived = {}
    for each, count in away.items():
        back = await peers(each)
        await _resolves(driver, each)
        await driver.call(each)
        arrived[count] = len(back.arrivals)

    expect(
        arrived,
        equals={threshold - 1: 1, threshold: 0},
        what="calls that arrive once it is back, by the number of failures while it was away",
    )


async def test_cbr_2_an_open_circuit_refuses_at_once(
    driver: Driver, peer: Peer, name: str, circuit: Circuit
) -> None:
    """CBR-2: While the circuit is open, calls of all kinds fail at once, and none arrives."""
    before = await driver.call(name)
    expect((before.code, len(peer.arrivals)), equals=("OK", 1), what="a call before it is open")

    await circuit.opens()
    refused = await circuit.refuses(*KINDS)

    expect(
        dict(zip(KINDS, map(_told, refused), strict=True)),
        equals=dict.fromkeys(KINDS, REFUSED),
        what="code and message of refused calls, by kind",
    )
    _at_once(refused)
    await circuit.passes(circuit.wait)
    after = await driver.call(name)
    expect((after.code, after.payloads), equals=("OK", (PING,)), what="the same call later")


async def test_cbr_2_what_the_circuit_refuses_is_not_retried(node: Node) -> None:
    """CBR-2: Each attempt passes the breaker; what that refuses is refused for good."""
    driver = await node.drive(RETRYING)
    peer = await node.peer("p")
    await driver.finds("p")
    peer.otherwise = DOWN

    opening = await driver.call("p")

    expect_delays(peer.arrivals, [BACKOFF], what="delays between the attempts of the first call")
    # Whether a client looks at the circuit before or after its delay is its own affair.
    expect(_told(opening), one_of=[REFUSED, ("UNAVAILABLE", "down")], what="how the call ends")

    refused = await driver.call("p")

    expect(_told(refused), equals=REFUSED, what="code and message of the next call")
    _at_once([refused])
    expect(len(peer.arrivals), equals=2, what="attempts that arrive")


async def test_cbr_3_a_trial_call_goes_through_after_the_wait(peer: Peer, circuit: Circuit) -> None:
    """CBR-3: No call arrives before half_open_timeout, however often it is tried; one does then."""
    await circuit.opens()

    trial = await circuit.tries()

    expect((trial.code, trial.payloads), equals=("OK", (PING,)), what="outcome of the trial call")
    expect_delays(peer.arrivals[-2:], [circuit.wait], what="from the failure to the trial call")


async def test_cbr_3_late_results_change_nothing_of_the_wait(peer: Peer, circuit: Circuit) -> None:
    """CBR-3: Results of calls begun before it was open neither end the wait nor prolong it."""
    late = await circuit.begins(echo(), DOWN)
    opening = await circuit.opens()

    await circuit.passes(circuit.wait / 2)
    peer.release()
    results = await asyncio.gather(*late)
    await circuit.tries()

    expect(_codes(results), equals=["OK", "UNAVAILABLE"], what="codes of the late results")
    expect_delays(
        [opening, peer.arrivals[-1]], [circuit.wait], what="from the failure to the trial call"
    )


@pytest.mark.parametrize("between", [ok(), fails("NOT_FOUND")], ids=repr)
async def test_cbr_6_a_success_while_closed_resets_the_count(
    peer: Peer, circuit: Circuit, between: Reply
) -> None:
    """CBR-6: Only failures in a row count: any other answer starts the count again."""
    replies = [*[DOWN] * (circuit.failures - 1), between] * 3

    await circuit.calls(*replies)

    expect(len(peer.arrivals), equals=len(replies), what="calls that arrive")
    await circuit.opens()


async def test_cbr_7_codes_that_blame_the_caller_do_not_count(peer: Peer, circuit: Circuit) -> None:
    """CBR-7: No code that blames the caller opens the circuit."""
    codes = [code for code in BLAME_THE_CALLER for _ in range(circuit.failures)]

    outcomes = await circuit.calls(*map(fails, codes))

    expect(_codes(outcomes), equals=codes, what="codes of the calls")
    expect(len(peer.arrivals), equals=len(codes), what="calls that arrive")
    await circuit.opens()


async def test_cbr_7_what_cannot_be_resolved_does_not_reach_it(
    driver: Driver, peer: Peer, name: str, circuit: Circuit
) -> None:
    """CBR-7: A version that there is not, or that is none, is no failure and no success."""
    await circuit.calls(*[DOWN] * (circuit.failures - 1))

    unresolved = [await driver.call(name, version=version) for version in ("9.0.0", "9")]

    expect(_codes(unresolved), equals=["NOT_FOUND", "INVALID_ARGUMENT"], what="their codes")
    await circuit.calls(DOWN)
    expect(len(peer.arrivals), equals=circuit.failures, what="calls that arrive before it is open")
    await circuit.refuses()


@pytest.mark.driven("broken")
async def test_cbr_7_the_codes_that_count_can_be_configured(
    driver: Driver, peers: Peers, name: str
) -> None:
    """CBR-7: Exactly the configured failure_codes count."""
    circuit = BROKEN["circuit"]
    codes = [*circuit["failure_codes"], *BLAME_THE_SERVER[1:]]
    there = {code: await peers(f"{name}.{code}") for code in codes}
    calls = circuit["failure_threshold"] + 1

    for code, peer in there.items():
        peer.otherwise = fails(code)
        for _ in range(calls):
            await driver.call(peer.name)

    expect(
        {code: calls - len(peer.arrivals) for code, peer in there.items()},
        equals={code: int(code in circuit["failure_codes"]) for code in codes},
        what=f"calls of {calls} that do not arrive, by code",
    )


async def test_cbr_8_each_service_has_a_breaker_of_its_own(
    driver: Driver, peers: Peers, name: str
) -> None:
    """CBR-8: Failures of one service neither count for another nor keep calls from it."""
    one, other = await peers(f"{name}_1"), await peers(f"{name}_2")
    failing, serving = Circuit(driver, one), Circuit(driver, other)
    few = [DOWN] * (failing.failures - 1)

    await failing.calls(*few)
    await serving.calls(*few, ok())
    await failing.calls(DOWN)

    expect(
        [len(peer.arrivals) for peer in (one, other)],
        equals=[failing.failures] * 2,
        what="calls that arrive at each",
    )
    await failing.refuses()
    (outcome,) = await serving.calls(ok(b"serves"))
    expect(outcome.payloads, equals=(b"serves",), what="what the other answers meanwhile")


async def test_cbr_8_the_versions_of_a_service_share_one(
    driver: Driver, peers: Peers, name: str
) -> None:
    """CBR-8: Whatever version is asked for, a service has one breaker."""
    there = {version: await peers(name, version) for version in ("1.0.0", "2.0.0")}
    old, new = (Circuit(driver, peer, name, version) for version, peer in there.items())

    (control,) = await new.calls(ok(b"new"))
    opening = await old.opens()

    expect(control.payloads, equals=(b"new",), what="what the other version answers before")
    await new.refuses(since=opening.answered)


@pytest.mark.driven("bounding")
async def test_cbr_10_a_call_over_the_timeout_fails_and_counts(
    driver: Driver, peer: Peer, name: str, circuit: Circuit
) -> None:
    """CBR-10: Calls with one answer end at circuit.timeout, and count as failures."""
    since, half = time.monotonic(), circuit.timeout / 2
    (control,) = await circuit.calls(echo(after=half))
    in_time = control.code == "OK"
    expect_host(holds=in_time, since=since, spare=half, what="answered in twice the time")
    expect(control.code, equals="OK", what="code of a call that takes half of the time")

    peer.otherwise = hangs()
    since = time.monotonic()
    methods = ["CLIENT_STREAM", *["UNARY"] * (circuit.failures - 1)]
    outcomes = await asyncio.gather(
        *(driver.call(name, PING, method=method, timeout=PATIENCE) for method in methods)
    )

    expect(_codes(outcomes), equals=["DEADLINE_EXCEEDED"] * len(methods), what="their codes")
    for outcome in outcomes:
        expect_elapsed(
            outcome.elapsed, since=outcome.since,
            at_least=circuit.timeout, at_most=circuit.timeout, what="time of an endless call",
        )  # fmt: skip
    expect(len(peer.arrivals), equals=1 + len(methods), what="calls that arrive")
    await circuit.refuses(since=since + circuit.timeout)


@pytest.mark.driven("bounding")
async def test_cbr_10_a_stream_of_answers_goes_on(
    driver: Driver, peer: Peer, name: str, circuit: Circuit
) -> None:
    """CBR-10: A call with a stream of answers is bounded by its deadline alone."""
    methods = ("SERVER_STREAM", "BIDI_STREAM")
    peer.otherwise = ok(b"at last", after=1.5 * circuit.timeout)

    outcomes = await asyncio.gather(*(driver.call(name, PING, method=method) for method in methods))

    expect(
        [(outcome.code, outcome.payloads) for outcome in outcomes],
        equals=[("OK", (b"at last",))] * len(methods),
        what="outcomes of the calls",
    )
    expect(len(peer.arrivals), equals=len(methods), what="calls that arrive")


async def _resolves(driver: Driver, name: str) -> None:
    """Wait until discovery would send a call to a service again."""

    async def found() -> bool:
        return (await driver.resolve(name)).code == "OK"

    await until(found, bound=RESCANNED, what=f"{name} is back")


def _told(outcome: Outcome) -> tuple[str, str]:
    return outcome.code, outcome.message


def _codes(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.code for outcome in outcomes]


def _at_once(outcomes: Sequence[Outcome]) -> None:
    """Make sure that calls waited for nothing."""
    for outcome in outcomes:
        expect_elapsed(
            outcome.elapsed, since=outcome.since, at_most=0.0, what="time of a refused call"
        )
