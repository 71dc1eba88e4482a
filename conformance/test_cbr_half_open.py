"""Chapter 17: the circuit breaker, half-open (CBR-4, CBR-5, CBR-9)."""

import asyncio
import time

import pytest

from .harness import bounds
from .harness.bounds import until
from .harness.circuit import DOWN, REFUSED, Circuit
from .harness.driver import Driver
from .harness.history import expect_delays, expect_host
from .harness.judging import expect
from .harness.outcomes import Outcome
from .harness.peer import Peer
from .harness.replies import PING, echo, fails, hangs, held, ok

pytestmark = pytest.mark.driven("breaking")

CROWD = 8
"""Calls that are made at once while half-open: four times as many as may go through."""

IMPATIENCE = 0.25
"""Seconds after which a caller gives up: eighty times what its call takes to arrive."""

SLOW = 0.125
"""Seconds that a trial call takes which fails: its wait is neither from its begin nor from the
failure before it."""


async def test_cbr_4_successes_close_the_circuit(half_open: Circuit) -> None:
    """CBR-4: success_threshold successes close it: calls are not limited, the count is zero."""
    circuit, peer = half_open, half_open.peer

    trials = await circuit.calls(*[ok(b"up")] * circuit.successes)

    expect(
        [outcome.payloads for outcome in trials],
        equals=[(b"up",)] * circuit.successes,
        what="answers to the trial calls",
    )
    many = await circuit.begins(*[DOWN] * circuit.failures)
    expect(len(peer.in_flight), equals=circuit.failures, what="calls in flight at once")
    peer.release()
    expect(
        _codes(await asyncio.gather(*many)),
        equals=["UNAVAILABLE"] * circuit.failures,
        what="codes of as many failures as open it",
    )
    await circuit.refuses()


async def test_cbr_4_fewer_successes_do_not_close_it(half_open: Circuit) -> None:
    """CBR-4: One success fewer leaves it half-open, and none is kept for the next time."""
    await _fails_when_it_nearly_closes(half_open)

    await half_open.passes(half_open.wait)
    await _fails_when_it_nearly_closes(half_open)


async def test_cbr_4_late_successes_do_not_close_it(peer: Peer, circuit: Circuit) -> None:
    """CBR-4: Successes of calls begun before it was open are none of the half-open circuit."""
    late = await circuit.begins(*[echo()] * circuit.successes)
    await circuit.half_opens()

    trials = await circuit.calls(*[ok()] * (circuit.successes - 1))
    peer.release()
    results = await asyncio.gather(*late)
    trials += await circuit.calls(DOWN)

    expect(_codes(results), equals=["OK"] * circuit.successes, what="codes of the late calls")
    expect(
        _codes(trials),
        equals=["OK"] * (circuit.successes - 1) + ["UNAVAILABLE"],
        what="codes of the trial calls",
    )
    await circuit.refuses()


async def test_cbr_5_a_failing_trial_opens_it_anew(half_open: Circuit) -> None:
    """CBR-5: One failure while half-open opens the circuit, for the whole of the wait."""
    circuit, peer = half_open, half_open.peer

    slow = fails("UNAVAILABLE", "down", after=SLOW)
    (trial,) = await circuit.calls(slow)

    expect((trial.code, trial.message), equals=("UNAVAILABLE", "down"), what="the trial call")
    await circuit.refuses()
    await circuit.tries()
    expect_delays(peer.arrivals[-2:], [circuit.wait], what="from that failure to the next trial")


async def test_cbr_5_late_failures_do_not_open_it(peer: Peer, circuit: Circuit) -> None:
    """CBR-5: Failures of calls begun before it was open do not open the half-open circuit."""
    late = await circuit.begins(*[DOWN] * circuit.failures)
    await circuit.half_opens()

    (trial,) = await circuit.calls(ok())
    peer.release()
    results = await asyncio.gather(*late)
    count = len(peer.arrivals)
    trials = await circuit.calls(*[ok()] * circuit.successes)

    expect(trial.code, equals="OK", what="code of the first trial call")
    expect(
        _codes(results), equals=["UNAVAILABLE"] * circuit.failures, what="codes of the late calls"
    )
    expect(
        len(peer.arrivals) - count, equals=circuit.successes, what="calls that arrive after them"
    )
    expect(_codes(trials), equals=["OK"] * circuit.successes, what="their codes")


async def test_cbr_7_while_half_open_they_are_successes(half_open: Circuit) -> None:
    """CBR-7: While half-open, an answer that blames the caller shows that the server serves."""
    circuit, peer = half_open, half_open.peer

    trials = await circuit.calls(*[fails("NOT_FOUND")] * circuit.successes)

    expect(_codes(trials), equals=["NOT_FOUND"] * circuit.successes, what="codes of the trials")
    count = len(peer.arrivals)
    await circuit.calls(*[DOWN] * circuit.failures)
    expect(len(peer.arrivals) - count, equals=circuit.failures, what="failures that arrive then")


async def test_cbr_9_no_more_trials_than_successes_are_needed(
    driver: Driver, half_open: Circuit
) -> None:
    """CBR-9: While half-open, no more than success_threshold trial calls are in flight."""
    circuit, peer, name = half_open, half_open.peer, half_open.service
    before = len(peer.arrivals)

    peer.otherwise = held(echo())
    calls = [driver.begin(name, PING, method="SERVER_STREAM") for _ in range(CROWD)]
    await until(
        lambda: len(peer.arrivals) - before + sum(call.done() for call in calls) >= CROWD,
        bound=bounds.PROMPT,
        what="each call arrives or ends",
        seen=lambda: calls,
    )

    expect(len(peer.arrivals) - before, equals=circuit.successes, what="trial calls that arrive")
    refused = [call.result() for call in calls if call.done()]
    trials = [call for call in calls if not call.done()]
    expect(
        [(outcome.code, outcome.message) for outcome in refused],
        equals=[REFUSED] * (CROWD - circuit.successes),
        what="code and message of all others",
    )
    peer.release()
    expect(
        _codes(await asyncio.gather(*trials)),
        equals=["OK"] * circuit.successes,
        what="codes of the trial calls",
    )
    count = len(peer.arrivals)
    await circuit.begins(*[echo()] * CROWD)
    expect(len(peer.arrivals) - count, equals=CROWD, what="calls in flight once it is closed")


async def test_cbr_9_a_caller_who_gives_up_gives_the_place_back(
    driver: Driver, half_open: Circuit
) -> None:
    """CBR-9: A trial call that its own caller cancels is no result, and makes room for another."""
    circuit, peer, name = half_open, half_open.peer, half_open.service
    before = len(peer.arrivals)

    peer.answers(*[hangs()] * circuit.successes)
    since = time.monotonic()
    given_up = [
        driver.begin(name, PING, method="SERVER_STREAM", cancel_after=IMPATIENCE)
        for _ in range(circuit.successes)
    ]
    cancelled = await asyncio.gather(*given_up)

    arrived = len(peer.arrivals) - before
    expect_host(
        holds=arrived == circuit.successes,
        since=since,
        spare=IMPATIENCE / 2,
        what="as many trial calls as successes are needed",
    )
    expect(arrived, equals=circuit.successes, what="trial calls that arrive")
    expect(_codes(cancelled), equals=["CANCELLED"] * circuit.successes, what="codes of the calls")
    (trial,) = await circuit.calls(DOWN)
    expect((trial.code, trial.message), equals=("UNAVAILABLE", "down"), what="the next trial call")
    await circuit.refuses()


async def _fails_when_it_nearly_closes(circuit: Circuit) -> None:
    """Let one success fewer than are needed, and then a failure, open a half-open circuit."""
    trials = await circuit.calls(*[ok()] * (circuit.successes - 1), DOWN)

    expect(
        _codes(trials),
        equals=["OK"] * (circuit.successes - 1) + ["UNAVAILABLE"],
        what="codes of the trial calls",
    )
    await circuit.refuses()


def _codes(outcomes: list[Outcome]) -> list[str]:
    return [outcome.code for outcome in outcomes]
