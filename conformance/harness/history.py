"""Checks of what took how long: lower bounds exactly, upper bounds as this host allows."""

import itertools
import time
from collections.abc import Iterable, Sequence

from .arrivals import Arrival
from .bounds import JITTER, STALL
from .judging import NonConformance, inconclusive
from .starvation import STARVATION

LATE = 0.05
"""Seconds by which what is due may be late, besides the host's jitter. A client on grpc.aio that
sleeps 40 ms between calls is late by 0.4 to 1.8 ms on an idle host, and by up to 16 ms with four
busy processes on its two cores (measured: 400 delays)."""

ROUNDING = 0.001
"""Seconds by which a lower bound is missed without being violated: durations travel as integers
of nanoseconds or milliseconds and become floats, and some runtimes round a timer to a whole
millisecond. No delay that a requirement names is shorter than 40 of these."""


def expect_delays(
    arrivals: Sequence[Arrival],
    seconds: Sequence[float],
    *,
    jitter: float = 0.0,
    what: str = "delays between attempts",
) -> None:
    """Compare the delays from each call's answer to the next call with those asked for.

    Args:
        arrivals: one more than there are delays; all but the last answered.
        seconds: the delays asked for.
        jitter: the part of each delay by which it may be shorter.
        what: what they are, in words.

    Raises:
        NonConformance: there is another number of calls; a delay is too short, or too long.
        Inconclusive: a delay is too long, but the host stalled during it, or let the
            implementation wait for a CPU for as long.
        ValueError: a call was not answered, so that no delay begins.
    """
    if any(arrival.answered is None for arrival in arrivals[:-1]):
        raise ValueError(f"{what}: a delay begins with an answer: {list(arrivals)}")
    spans = [(before.answered or 0.0, after.time) for before, after in itertools.pairwise(arrivals)]
    delays = [end - begin for begin, end in spans]
    expected = f"{_listed(seconds)}{f', each at most {jitter:.0%} shorter' if jitter else ''}"
    violated = NonConformance(
        what=what, expected=f"{expected} (+ at most {_allowance()})", observed=_listed(delays)
    )
    if len(delays) != len(seconds):
        raise violated
    if any(
        delay < asked * (1 - jitter) - ROUNDING
        for delay, asked in zip(delays, seconds, strict=True)
    ):
        raise violated
    _refuse(zip(spans, seconds, strict=True), violated)


def expect_elapsed(
    elapsed: float,
    *,
    since: float,
    at_least: float | None = None,
    at_most: float | None = None,
    what: str = "time that it took",
) -> None:
    """Compare a time that something took with what was asked for, in seconds.

    Args:
        elapsed: the time.
        since: when it began, on the monotonic clock.
        at_least: the lower bound, which is exact.
        at_most: the upper bound, which is widened as this host needs.
        what: what took that time, in words.

    Raises:
        NonConformance: it took less, or more.
        Inconclusive: it took more, but the host stalled meanwhile, or let the implementation
            wait for a CPU for as long.
    """
    asked = [
        *([f"at least {_shown(at_least)}"] if at_least is not None else []),
        *([f"at most {_shown(at_most)} (+ {_allowance()})"] if at_most is not None else []),
    ]
    violated = NonConformance(what=what, expected=" and ".join(asked), observed=_shown(elapsed))
    if at_least is not None and elapsed < at_least - ROUNDING:
        raise violated
    if at_most is not None:
        _refuse([((since, since + elapsed), at_most)], violated)


def expect_host(*, holds: bool, since: float, spare: float, what: str) -> None:
    """Say so where something did not come about because the host took the time for it away.

    Args:
        holds: whether it did.
        since: when that time began, on the monotonic clock.
        spare: seconds of it beyond what is needed on an idle host.
        what: what was to come about, in words.

    Raises:
        Inconclusive: it did not, and the host stalled for that long meanwhile, or let the
            implementation wait for a CPU for as long.
    """
    if holds:
        return
    if (stall := JITTER.worst(since)) >= spare:
        inconclusive(f"not {what}, but the host stalled for {_shown(stall)} meanwhile")
    # Each turn waits for both: many short waits are one long one.
    if (kept := JITTER.waited(since, time.monotonic()) + STARVATION.seconds()) >= spare:
        inconclusive(f"not {what}, but suite and implementation waited {_shown(kept)} for a CPU")


def _refuse(spans: Iterable[tuple[tuple[float, float], float]], violated: NonConformance) -> None:
    """Raise if anything took longer than asked; say so if the host is to blame each time."""
    excuses: list[str] = []
    for (begin, end), asked in spans:
        if (late := end - begin - asked - LATE - JITTER.seconds) <= 0:
            continue
        if (stall := JITTER.worst(begin, end)) > STALL:
            excuses.append(f"the host stalled for {_shown(stall)} meanwhile")
        # Each turn of a conversation waits for both: many short waits are one long one.
        elif (kept := JITTER.waited(begin, end) + STARVATION.seconds()) >= late:
            excuses.append(f"suite and implementation waited {_shown(kept)} for a CPU in this test")
        else:
            raise violated
    if excuses:
        inconclusive(f"{violated}; {excuses[0]}")


def _allowance() -> str:
    return f"{_shown(LATE + JITTER.seconds)}, of which {_shown(JITTER.seconds)} are this host's"


def _listed(seconds: Sequence[float]) -> str:
    return f"[{', '.join(f'{one * 1000:.0f}' for one in seconds)}] ms"


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
