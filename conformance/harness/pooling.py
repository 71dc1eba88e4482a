"""The words for a connection pool: its limits, and when a peer saw what it did."""

import time

from . import bounds
from .bounds import until
from .driver import Driver
from .history import expect_elapsed
from .judging import expect, inconclusive
from .outcomes import Outcome
from .peer import Peer
from .service import seconds

AT_ONCE = 0.1
"""Seconds that a call may take which has to dial, but must not wait before: on an idle host
it takes 5 ms, on a busy one 60; the shortest backoff of a gRPC library is longer than that."""

SEVERAL = 3
"""Calls of which a busy host lets one through without delay, whereas a backoff delays them all."""


def limit(driver: Driver, field: str) -> float:
    """Return a duration of a driver's PoolConfig, in seconds."""
    return seconds(driver.settings["pool"][field])


def answered(peer: Peer, number: int = -1) -> float:
    """Return when a peer answered a call; by default the latest.

    Raises:
        ValueError: it did not, so that no time begins there.
    """
    moment = peer.arrivals[number].answered
    if moment is None:
        raise ValueError(f"time begins with an answer: {peer.arrivals[number]}")
    return moment


def expect_at_once(*outcomes: Outcome) -> None:
    """Make sure that calls waited for nothing: each in AT_ONCE, and of SEVERAL the fastest in none.

    Raises:
        NonConformance: one did, or all did.
    """
    for outcome in outcomes:
        expect_elapsed(
            outcome.elapsed, since=outcome.since, at_most=AT_ONCE,
            what="time of a call that must not wait",
        )  # fmt: skip
    if len(outcomes) >= SEVERAL:
        fastest = min(outcomes, key=lambda outcome: outcome.elapsed)
        expect_elapsed(
            fastest.elapsed, since=fastest.since, at_most=0.0,
            what=f"time of the fastest of {len(outcomes)} calls that must not wait",
        )  # fmt: skip


def expect_used(peer: Peer, *, since: float, within: float) -> None:
    """Make sure that the host let the latest call come before its connection idled for too long.

    Args:
        peer: to whom the call was.
        since: when the connection's call before that was answered, on the monotonic clock.
        within: `idle_timeout` in seconds.

    Raises:
        Inconclusive: it came so late that a client may have closed the connection.
    """
    if (idled := peer.arrivals[-1].time - since) >= within:
        inconclusive(f"{peer.name}: {idled:.3f} s passed between two calls, {within:g} s may")


def expect_closed(peer: Peer, *, since: float, after: float) -> None:
    """Make sure that the client closed its first connection so long after a moment.

    Args:
        peer: to whom the connection was.
        since: the moment, on the monotonic clock.
        after: seconds, of which there may be neither fewer nor more.

    Raises:
        NonConformance: somebody else closed it, or nobody, or at another time.
    """
    first = peer.connections[0]
    expect(first.ended_by, equals="client", what=f"who closed the connection to {peer.name}")
    expect_elapsed(
        (first.closed or 0.0) - since, since=since, at_least=after, at_most=after,
        what=f"time to the end of the idle connection to {peer.name}",
    )  # fmt: skip


async def passes(duration: float) -> None:
    """Wait until so many seconds have passed."""
    end = time.monotonic() + duration
    await until(lambda: time.monotonic() >= end, bound=duration + bounds.PROMPT, what="time passes")
