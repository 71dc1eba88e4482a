"""Chapter 26: the clock steps by an hour (FLT-10)."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from .harness import bounds
from .harness.circuit import Circuit
from .harness.clock import HOUR, WallClock, wall_clock
from .harness.driver import Driver
from .harness.history import expect_elapsed
from .harness.judging import Inconclusive, did, expect, not_run
from .harness.logs import records, written_at
from .harness.nodes import Node
from .harness.outcomes import Outcome
from .harness.peer import Peer
from .harness.replies import PING, fails, hangs, held

STEPS = {"forwards": HOUR, "back": -HOUR}
"""Seconds by which the clock is off after the step, by where it goes."""

DEADLINE = 0.6
"""Seconds of a call's deadline, given or by default: ten times the delay before its retry."""

RETRY = 0.2
"""Seconds that an attempt needs to be made again: four times its delay."""

TRIES = 3
"""Times that calls are made, as long as the host keeps them from arriving in time."""

SLACK = 1.0
"""Seconds by which what is due may be late: a step makes it late by an hour, and how precise a
client is other chapters ask (CONFORMANCE.md, FLT-10)."""

FINE = 0.01
"""Seconds by which a `grpc-timeout` may be above: gRPC libraries round it up."""

ATTEMPT = "x-retry-attempt"

MAX_WAIT = 0.4
"""Seconds that the suite configures as `batch.max_wait`."""

SETTINGS: Mapping[str, Any] = {
    "retry": {"max_attempts": 2, "initial_backoff": "0.05s"},
    "circuit": {"failure_threshold": 1000, "timeout": "10s"},
    "batch": {"max_size": 5, "max_wait": f"{MAX_WAIT}s"},
    "default_timeout": f"{DEADLINE}s",
    "health": {"interval": "10s"},
    "registry": {"rescan_interval": "0.3s"},
    "telemetry": {"log_level": "LOG_LEVEL_DEBUG"},
}

BREAKING: Mapping[str, Any] = {
    **SETTINGS,
    "retry": {"max_attempts": 1},
    "circuit": {
        "failure_threshold": 3,
        "success_threshold": 2,
        "timeout": "10s",
        "half_open_timeout": "0.5s",
    },
    "default_timeout": "5s",
}


@pytest.fixture
def clock(node: Node) -> Iterator[WallClock]:
    """A wall clock that can be stepped under what is started with it."""
    with wall_clock(node.directory) as clock:
        yield clock


async def test_flt_10_deadlines_hold(node: Node, clock: WallClock) -> None:
    """FLT-10: A call ends at its deadline, however the clock steps between its attempts."""
    driver = await _driven(node, clock, SETTINGS)

    for where in STEPS:
        peer, outcomes = await _stepped_between_attempts(node, driver, clock, where)

        for how, outcome in zip(("deadline", "default deadline"), outcomes, strict=True):
            what = f"code of a call with a {how}, the clock an hour {where}"
            expect(outcome.code, equals="DEADLINE_EXCEEDED", what=what)
            expect_elapsed(
                outcome.elapsed, since=outcome.since, at_least=DEADLINE, at_most=DEADLINE + SLACK,
                what=f"time until the {how}, the clock an hour {where}",
            )  # fmt: skip
        for arrival in peer.arrivals:
            expect(
                arrival.timeout,
                at_most=DEADLINE + FINE,
                what=f"what is left of the deadline, as attempt {arrival.header(ATTEMPT)} bears it",
            )
        expect(len(peer.arrivals), equals=4, what="attempts of the two calls")


async def test_flt_10_an_open_circuit_waits_as_long_as_ever(node: Node, clock: WallClock) -> None:
    """FLT-10: half_open_timeout is neither cut short nor drawn out by a step of the clock."""
    driver = await _driven(node, clock, BREAKING)

    for where, off in STEPS.items():
        circuit = Circuit(driver, await _peer(node, driver, where))
        failure = await circuit.opens()
        clock.step(off)
        await circuit.refuses()
        await circuit.passes((failure.answered or 0.0) + circuit.wait - time.monotonic())
        trial = await circuit.tries()
        clock.step(0)

        expect(trial.code, equals="OK", what=f"code of the trial, the clock an hour {where}")
        since = failure.answered or 0.0
        expect_elapsed(
            circuit.peer.arrivals[-1].time - since,
            since=since, at_least=circuit.wait, at_most=circuit.wait + SLACK,
            what=f"time from the last failure to the trial, the clock an hour {where}",
        )  # fmt: skip


async def test_flt_10_a_batch_waits_as_long_as_ever(node: Node, clock: WallClock) -> None:
    """FLT-10: A batch leaves max_wait after its first item, however the clock steps meanwhile."""
    driver = await _driven(node, clock, SETTINGS)

    for where, off in STEPS.items():
        peer = await _peer(node, driver, where)
        since = time.monotonic()
        (submitted,) = driver.submits(where, b"first")
        await bounds.passed(MAX_WAIT / 4)
        clock.step(off)
        (batch,) = await peer.arrived(1)
        outcome = await submitted
        clock.step(0)

        expect_elapsed(
            batch.time - since, since=since, at_least=MAX_WAIT, at_most=MAX_WAIT + SLACK,
            what=f"time from the first item to the call, the clock an hour {where}",
        )  # fmt: skip
        expect(outcome.code, equals="OK", what=f"code of the item, the clock an hour {where}")


async def _driven(node: Node, clock: WallClock, settings: Mapping[str, Any]) -> Driver:
    """Start a driver whose clock is stepped, and make sure that it looks at that clock.

    Raises:
        NotRun: it does not.
    """
    driver = node.begin_driver(settings, wrapper=clock.wrapper)
    clock.worn_by(driver.process)
    await driver.ready(node.start_timeout)
    await driver.lives()
    began = time.time()
    clock.step(HOUR)
    await driver.call("nobody", PING)
    end = time.monotonic() + bounds.DEADLINE
    while not (seen := _is_ahead(driver, began)) and time.monotonic() < end:  # noqa: ASYNC110 - a file
        await asyncio.sleep(bounds.POLL)
    clock.step(0)
    if not seen:
        not_run("no line of the driver's log has the stepped time: libfaketime does not reach it")
    did("its log has the stepped time")
    return driver


def _is_ahead(driver: Driver, began: float) -> bool:
    """Tell whether the last line of the log is of a time that has not come yet."""
    lines = records(driver.process)[-1:]
    return any((written_at(line) or 0.0) > began + HOUR / 2 for line in lines)


async def _stepped_between_attempts(
    node: Node, driver: Driver, clock: WallClock, where: str
) -> tuple[Peer, list[Outcome]]:
    """Make a call with a deadline and one without, and step the clock between their attempts.

    Raises:
        Inconclusive: each time the host took as long as their deadline to bring the calls there.
    """
    for number in range(TRIES):
        peer = await _peer(node, driver, f"{where}{number}")
        peer.answers(*[held(fails("UNAVAILABLE"))] * 2)
        peer.otherwise = hangs()
        begun = time.monotonic()
        calls = [
            driver.begin(peer.name, PING, timeout=DEADLINE),
            driver.begin(peer.name, PING),
        ]
        await peer.arrived(2)
        clock.step(STEPS[where])
        stepped = time.monotonic()
        peer.release()
        outcomes = await asyncio.gather(*calls)
        clock.step(0)
        if stepped < begun + DEADLINE - RETRY:
            return peer, outcomes
    raise Inconclusive("the clock was not stepped before the deadline of the calls was near")


async def _peer(node: Node, driver: Driver, name: str) -> Peer:
    peer = await node.peer(name)
    await driver.finds(name)
    return peer
