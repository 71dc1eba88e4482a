"""Named bounds, and how far this host's clock can be trusted.

Every wait of the suite ends at a bound from here or from the requirement. A
lower bound is exact; an upper bound is widened by the jitter of the host.
"""

import asyncio
import inspect
import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from .judging import NonConformance, inconclusive
from .starvation import STARVATION

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

STALL = 0.05
"""Seconds by which a sleeper must be late for the host to have stalled: what an upper bound
allows for besides (LATE in `history`) is as much, and a healthy host is late by 1 to 5 ms."""

_CALIBRATION = 20
"""Sleeps that the jitter is measured by: with 5 ms each, a tenth of a second in all."""

_TICK = 0.005
"""Seconds that the ticker sleeps: a tenth of what counts as a stall, for 0.5 % of a core."""

_STARVED_PART = 0.5
"""Part of a bound for which an implementation must have waited for a CPU to be excused. Its
threads are counted one by one, so that a tenth is common with two suites on two cores."""

_PATIENCE = 5.0
"""Times a bound that are waited at most on a host that stalls again and again."""

_KEPT = 24_000
"""Ticks that are remembered: two minutes, longer than any one test."""


class HostJitter:
    """How late this host wakes a sleeper, as seen so far."""

    def __init__(self) -> None:
        """Start with nothing measured: no allowance."""
        self.seconds = 0.0
        """The worst at the start: what a bound on one event is widened by."""
        self.typical = 0.0
        """The median at the start: what a bound on a median is widened by."""
        self._ticks: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        """When the ticker was to wake, and when it woke."""
        self._due: float | None = None
        """When it is to wake next; None while it does not run."""

    async def measure(self) -> None:
        """Sleep a few times and see how late it gets."""
        delays = []
        for _ in range(_CALIBRATION):
            before = time.monotonic()
            await asyncio.sleep(_TICK)
            delays.append(time.monotonic() - before - _TICK)
        self.seconds = max(self.seconds, *delays)
        self.typical = max(self.typical, statistics.median(delays))

    async def watch(self) -> None:
        """Note how late the host wakes a sleeper, until cancelled."""
        try:
            while True:
                self._due = time.monotonic() + _TICK
                await asyncio.sleep(_TICK)
                self._ticks.append((self._due, time.monotonic()))
        finally:
            self._due = None

    def worst(self, since: float, until: float | None = None) -> float:
        """Return the longest time that a sleeper was kept waiting within a window, in seconds.

        Args:
            since: its begin, on the monotonic clock.
            until: its end; None: now.
        """
        now = time.monotonic()
        end = now if until is None else until
        worst = 0.0
        if self._due is not None:
            # The ticker may be late itself just now, and have had no chance to say so.
            worst = min(now, end) - max(self._due, since)
        for due, woke in reversed(self._ticks):
            if woke < since:
                break
            worst = max(worst, min(woke, end) - max(due, since))
        return max(worst, 0.0)

    def waited(self, since: float, until: float) -> float:
        """Return the seconds of a window that a sleeper was kept waiting, all waits together."""
        return sum(
            max(min(woke, until) - max(due, since), 0.0)
            for due, woke in self._ticks
            if woke >= since
        )

    def lost(self, since: float) -> float:
        """Return the seconds since then that a sleeper was kept waiting, all stalls together."""
        now = time.monotonic()
        total = 0.0
        if self._due is not None and (late := now - max(self._due, since)) > STALL:
            total += late
        for due, woke in reversed(self._ticks):
            if woke < since:
                break
            if (late := woke - max(due, since)) > STALL:
                total += late
        return total

    def __repr__(self) -> str:
        """Show the allowance."""
        return f"HostJitter({self.seconds * 1000:.1f} ms)"


JITTER = HostJitter()
"""The jitter of the host this process runs on."""


async def until(
    fact: Callable[[], Any],
    *,
    bound: float,
    what: str,
    every: float = POLL,
    seen: Callable[[], Any] | None = None,
) -> Any:
    """Look at a fact again and again until it holds, and return it.

    Args:
        fact: returns something true once it holds, or a coroutine that does.
        bound: seconds, widened by the host's jitter.
        what: the fact in words, for the failure.
        every: seconds between two looks.
        seen: returns what the failure shows besides.

    Raises:
        NonConformance: it did not hold within the bound.
        Inconclusive: nor did it, but the host stalled again and again, or let the
            implementation wait for a CPU for a good part of the bound.
    """
    begin = time.monotonic()
    while True:
        found = fact()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        over = time.monotonic() - begin - bound - JITTER.seconds
        if over > 0 and over > min(kept_waiting(begin), bound * _PATIENCE):
            late(what, bound=bound, since=begin, seen=seen)
        await asyncio.sleep(every)


def kept_waiting(since: float) -> float:
    """Return the seconds that the host kept suite and implementation waiting for a CPU.

    They are no part of a bound. Each waits for the other: many short waits are one long one.
    """
    own = max(JITTER.lost(since), JITTER.waited(since, time.monotonic()))
    return own + STARVATION.seconds()


def late(
    what: str, *, bound: float, since: float, seen: Callable[[], Any] | None = None
) -> NoReturn:
    """Say what it means that something did not happen within its bound.

    Args:
        what: the fact in words.
        bound: seconds.
        since: when the wait began, on the monotonic clock.
        seen: returns what the failure shows besides.

    Raises:
        NonConformance: the implementation is late.
        Inconclusive: so is the host: it stalled again and again, or let the implementation wait
            for a CPU for a good part of the bound.
    """
    text = f"{what}: not within {bound:g} s"
    if time.monotonic() - since - bound - JITTER.seconds > bound * _PATIENCE:
        inconclusive(f"{text}, but the host stalled for {JITTER.lost(since):.3f} s meanwhile")
    if (starved := STARVATION.seconds()) > max(STALL, bound * _STARVED_PART):
        inconclusive(f"{text}, but the implementation waited {starved:.3f} s for a CPU")
    shown = f": {seen()}" if seen is not None else ""
    raise NonConformance(
        what=what, expected=f"within {bound:g} s", observed=f"not within {bound:g} s{shown}"
    )


async def passed(seconds: float) -> None:
    """Let so many seconds pass, and no less, where a requirement is about time that passes."""
    end = time.monotonic() + seconds
    # The loop wakes sleepers up to the resolution of its clock too early.
    while (left := end - time.monotonic()) > 0:  # noqa: ASYNC110 - time is what is waited for
        await asyncio.sleep(left)
