"""Named bounds, and how far this host's clock can be trusted.

Every wait of the suite ends at a bound from here or from the requirement. A
lower bound is exact; an upper bound is widened by the jitter of the host.
"""

import asyncio
import inspect
import statistics
import time
from collections.abc import Callable
from typing import Any

from .judging import NonConformance

START_ERROR = 5.0
"""Seconds for a start that must fail to fail. CONFORMANCE.md, "Start-up errors"."""

DEADLINE = 5.0
"""Seconds that an ordinary call may take: a thousand times what it takes on an idle host."""

WATCHDOG = 2.0
"""Seconds beyond its deadline at which a call is given up: a deadline alone does not end a
call under back-pressure, and no gRPC library was seen to be later than 0.2 s otherwise."""

STOP = 2.0
"""Seconds beyond the grace period for a process to be gone. CONFORMANCE.md, PROC-7."""

DUMP = 1.0
"""Seconds between SIGQUIT and SIGKILL: enough for a runtime to print its stacks."""

PROMPT = 1.0
"""Seconds for something that happens at once on an idle host (measured: under 20 ms)."""

OPEN = 0.02
"""Seconds after which a stream whose peer answered a later call already counts as open."""

POLL = 0.004
"""Seconds between two looks at a fact that nothing announces."""

_CALIBRATION = 20
"""Sleeps that the jitter is measured by: with 5 ms each, a tenth of a second in all."""


class HostJitter:
    """How late this host wakes a sleeper, as seen so far."""

    def __init__(self) -> None:
        """Start with nothing measured: no allowance."""
        self.seconds = 0.0
        """The worst: what a bound on one event is widened by."""
        self.typical = 0.0
        """The median: what a bound on a median is widened by."""

    async def measure(self) -> None:
        """Sleep a few times and see how late it gets."""
        delays = []
        for _ in range(_CALIBRATION):
            before = time.monotonic()
            await asyncio.sleep(0.005)
            delays.append(time.monotonic() - before - 0.005)
        self.seconds = max(self.seconds, *delays)
        self.typical = max(self.typical, statistics.median(delays))

    def __repr__(self) -> str:
        """Show the allowance."""
        return f"HostJitter({self.seconds * 1000:.1f} ms)"


JITTER = HostJitter()
"""The jitter of the host this process runs on."""


async def until(fact: Callable[[], Any], *, bound: float, what: str, every: float = POLL) -> Any:
    """Look at a fact again and again until it holds, and return it.

    Args:
        fact: returns something true once it holds, or a coroutine that does.
        bound: seconds, widened by the host's jitter.
        what: the fact in words, for the failure.
        every: seconds between two looks.

    Raises:
        NonConformance: it did not hold within the bound.
    """
    end = time.monotonic() + bound + JITTER.seconds
    while True:
        seen = fact()
        value = await seen if inspect.isawaitable(seen) else seen
        if value:
            return value
        if time.monotonic() > end:
            raise NonConformance(
                what=what, expected=f"within {bound:g} s", observed=f"not within {bound:g} s"
            )
        await asyncio.sleep(every)
