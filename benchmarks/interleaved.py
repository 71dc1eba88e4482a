"""Arms measured side by side, so that what disturbs one disturbs all of them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

BLOCK = 5
"""Calls of one arm in a row, of which the first is not counted: it pays for the change. With
longer blocks an arm against itself varies by 5 % instead of 1 %; one by one hides overhead."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median over the repetitions, and their range."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return that of some values."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int) -> str:
        """Return it in words."""
        median, least, most = (f"{x:.{digits}f}" for x in (self.median, self.least, self.most))
        return f"{median} ({least}-{most})"


@dataclass(frozen=True, slots=True)
class Measured:
    """One arm."""

    micros: Spread
    """Of one call: the spread of the repetitions' medians."""
    ratio: Spread
    """To the first arm, repetition by repetition."""
    tail: Spread
    """The same of the 99th percentiles."""


def measure(
    arms: Mapping[str, Callable[[], object]], *, repetitions: int, blocks: int
) -> dict[str, Measured]:
    """Measure what one call of each arm takes.

    Args:
        arms: by name; the first one is what the others are compared with.
        repetitions: each is one median an arm.
        blocks: of each arm in a repetition; the order of the arms is turned round each time.
    """
    names = list(arms)
    medians: dict[str, list[float]] = {name: [] for name in names}
    tails: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repetitions):
        times: dict[str, list[int]] = {name: [] for name in names}
        for block in range(blocks):
            for name in names if block % 2 else reversed(names):
                times[name] += _block(arms[name])
        for name in names:
            medians[name].append(statistics.median(times[name]) / 1000)
            tails[name].append(statistics.quantiles(times[name], n=100)[98] / 1000)
    return {
        name: Measured(
            Spread.of(medians[name]),
            _ratio(medians[name], medians[names[0]]),
            _ratio(tails[name], tails[names[0]]),
        )
        for name in names
    }


def _ratio(values: Sequence[float], first: Sequence[float]) -> Spread:
    return Spread.of([one / base for one, base in zip(values, first, strict=True)])


def _block(call: Callable[[], object]) -> list[int]:
    times = []
    for _ in range(BLOCK):
        started = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - started)
    return times[1:]
