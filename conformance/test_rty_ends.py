"""Chapter 16: how a call ends that is made of attempts (RTY-4 to RTY-6)."""

import math
import time
from typing import Any

import pytest
from google.rpc import error_details_pb2

from .harness.calls import Metadata
from .harness.driver import Driver
from .harness.history import ROUNDING, expect_elapsed, expect_host
from .harness.judging import expect
from .harness.kinds import KINDS, Kinds, alike, told
from .harness.outcomes import Outcome
from .harness.peer import Peer
from .harness.replies import Reply, fails, hangs, ok

DEADLINE = 0.4
"""Seconds of a deadline that comes during the second attempt."""

FIRST = 0.15
"""Seconds that the first attempt takes of it."""

SPARE = 0.15
"""Seconds that are left for two attempts to arrive, which takes a few milliseconds each."""

SOON = 0.15
"""Seconds after which a deadline, or its caller, ends a call that waits for its second attempt;
the wait of the driver called waiting is 0.3 s."""

LONG = 5.0
"""Seconds of a deadline that comes after all of its attempts."""

WIRE = 0.01
"""Part by which `grpc-timeout` may be more than what is left: gRPC C-core rounds it up to three
digits."""


async def test_rty_4_the_last_error_comes_back_unchanged(kinds: Kinds) -> None:
    """RTY-4: When attempts run out the caller gets the error of the last, and all of it."""
    kinds.answers(*(_error("UNAVAILABLE", number) for number in range(1, 10)))

    outcomes = await kinds.call(b"asked")

    last = kinds.seen(len)
    expect(
        {kind: _answer(outcome) for kind, outcome in outcomes.items()},
        equals={kind: _answer_of("UNAVAILABLE", last[kind]) for kind in KINDS},
        what="code, message, details and metadata, which the last attempt was answered with",
    )


async def test_rty_4_an_error_that_is_final_comes_back_unchanged(kinds: Kinds) -> None:
    """RTY-4: An error that ends the attempts early comes back instead of those before it."""
    kinds.answers(_error("UNAVAILABLE", 1), _error("PERMISSION_DENIED", 2))

    outcomes = await kinds.call(b"asked")

    expect(
        {kind: _answer(outcome) for kind, outcome in outcomes.items()},
        equals=alike(_answer_of("PERMISSION_DENIED", 2)),
        what="code, message, details and metadata, which the last attempt was answered with",
    )


@pytest.mark.driven("jittered")
async def test_rty_4_the_code_is_that_of_the_last_error(
    driver: Driver, peer: Peer, name: str
) -> None:
    """RTY-4: The code of the last error comes back, whatever those before it had."""
    codes = ("ABORTED", "RESOURCE_EXHAUSTED") * 4
    peer.answers(*(_error(code, number) for number, code in enumerate(codes, 1)))

    outcome = await driver.call(name)

    last = len(peer.arrivals)
    expect(
        _answer(outcome),
        equals=_answer_of(codes[last - 1], last),
        what="code, message, details and metadata, which the last attempt was answered with",
    )


async def test_rty_5_attempts_share_the_deadline(kinds: Kinds) -> None:
    """RTY-5: The second attempt has what the first left of the deadline, and ends with it."""
    kinds.answers(fails("UNAVAILABLE", after=FIRST), hangs())
    since = time.monotonic()

    outcomes = await kinds.call(b"asked", timeout=DEADLINE)

    twice = min(kinds.seen(len).values()) >= 2
    expect_host(holds=twice, since=since, spare=SPARE, what="two attempts before the deadline")
    expect(
        {kind: (outcomes[kind].code, attempts) for kind, attempts in kinds.seen(len).items()},
        equals=alike(("DEADLINE_EXCEEDED", 2)),
        what="code of each kind of call, and its attempts",
    )
    for kind, (first, second) in kinds.seen(tuple).items():
        left = DEADLINE - ((first.answered or first.time) - first.time)
        expect(
            math.inf if second.timeout is None else second.timeout,
            at_most=left * (1 + WIRE) + ROUNDING,
            what=f"seconds of grpc-timeout of the second attempt, {kind}",
        )
    for kind, outcome in outcomes.items():
        expect_elapsed(
            outcome.elapsed, since=outcome.since, at_least=DEADLINE, at_most=DEADLINE,
            what=f"time to the end of the call, {kind}",
        )  # fmt: skip


@pytest.mark.driven("waiting")
async def test_rty_5_no_wait_outlives_the_deadline(
    driver: Driver, kinds: Kinds, peer: Peer, name: str
) -> None:
    """RTY-5: A call whose deadline comes during a wait is over by then, and never tried again."""
    await _connected(kinds)
    kinds.answers(fails("UNAVAILABLE"), ok(b"late"))
    peer.answers(fails("UNAVAILABLE"), ok(b"again"))
    since = time.monotonic()

    outcomes = await kinds.call(b"asked", timeout=SOON)
    _expect_an_attempt(kinds, since)
    control = await driver.call(name, timeout=LONG)

    for kind, outcome in outcomes.items():
        # UNAVAILABLE: the wait cannot end in time, so it is not begun. DEADLINE_EXCEEDED: it is.
        expect(outcome.code, one_of=["UNAVAILABLE", "DEADLINE_EXCEEDED"], what=f"code, {kind}")
        waited = outcome.code == "DEADLINE_EXCEEDED"
        expect_elapsed(
            outcome.elapsed, since=outcome.since, at_least=SOON if waited else None, at_most=SOON,
            what=f"time to the end of the call, {kind}",
        )  # fmt: skip
    expect((control.code, len(peer.arrivals)), equals=("OK", 2), what="the control, its attempts")
    expect(_attempts(kinds), equals=alike(1), what="attempts, once the control was tried again")


@pytest.mark.driven("waiting")
async def test_rty_6_cancellation_ends_the_wait(
    driver: Driver, kinds: Kinds, peer: Peer, name: str
) -> None:
    """RTY-6: A call that is cancelled while it waits is over at once, and never tried again."""
    await _connected(kinds)
    kinds.answers(fails("UNAVAILABLE"), ok(b"late"))
    peer.answers(fails("UNAVAILABLE"), ok(b"again"))
    since = time.monotonic()

    outcomes = await kinds.call(b"asked", timeout=LONG, cancel_after=SOON)
    _expect_an_attempt(kinds, since)
    control = await driver.call(name, timeout=LONG)

    expect(
        {kind: outcome.code for kind, outcome in outcomes.items()},
        equals=alike("CANCELLED"),
        what="code of each kind of call",
    )
    for kind, outcome in outcomes.items():
        expect_elapsed(
            outcome.elapsed, since=outcome.since, at_least=SOON, at_most=SOON,
            what=f"time to the end of the call, {kind}",
        )  # fmt: skip
    expect((control.code, len(peer.arrivals)), equals=("OK", 2), what="the control, its attempts")
    expect(_attempts(kinds), equals=alike(1), what="attempts, once the control was tried again")


async def _connected(kinds: Kinds) -> None:
    """Let every kind of call succeed once, so that connecting takes no part of a deadline."""
    kinds.answers(ok(b"connected"))
    before = await kinds.call(b"before", timeout=LONG)
    expect(told(before), equals=alike(("OK", (b"connected",))), what="calls before")


def _attempts(kinds: Kinds) -> dict[str, int]:
    """Return how often each kind of call was tried after the one by which it was connected."""
    return kinds.seen(lambda arrivals: len(arrivals) - 1)


def _expect_an_attempt(kinds: Kinds, since: float) -> None:
    """Make sure that the host let every kind of call be tried before it was to end.

    Raises:
        Inconclusive: it did not.
    """
    tried = min(_attempts(kinds).values()) > 0
    expect_host(holds=tried, since=since, spare=SOON / 2, what="one attempt of each kind")


def _error(code: str, number: int) -> Reply:
    """Return an error with everything that one can have, and its number in all of it."""
    return fails(code, _message(number), [_detail(number)], metadata=_trailing(number))


def _answer_of(code: str, number: int) -> tuple[Any, ...]:
    """Return what the caller gets of such an error."""
    detail = _detail(number)
    packed = (detail.DESCRIPTOR.full_name, detail.SerializeToString())
    return code, _message(number), (packed,), _trailing(number)


def _answer(outcome: Outcome) -> tuple[Any, ...]:
    """Return everything that came of an error, without what a library adds."""
    own = tuple(entry for entry in outcome.trailing if entry[0].startswith("x-suite"))
    details = tuple((detail.TypeName(), detail.value) for detail in outcome.details)
    return outcome.code, outcome.message, details, own


def _message(number: int) -> str:
    return f"no. {number}: 100 % gone, für heute\n"


def _detail(number: int) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=f"REASON_{number}", domain="suite")


def _trailing(number: int) -> Metadata:
    return (("x-suite", str(number)), ("x-suite-bin", bytes([0, number, 255])))
