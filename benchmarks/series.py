"""What was measured of one arm, and how sure a ratio of two of them is."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 2000
"""Drawn for an interval: its ends then move by less than a tenth of its width from draw to draw."""

CONFIDENCE = 0.95
"""Share of the resamples that lies within the interval."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, and their range."""

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
class Series:
    """Times of one arm, block by block, in the order in which they were measured."""

    blocks: tuple[tuple[float, ...], ...]
    """Seconds of each call that counts."""
    cpu: float
    """Seconds for which the measuring process itself kept a CPU busy, a call."""

    @property
    def times(self) -> list[float]:
        """Seconds of each call, whatever its block."""
        return [time for block in self.blocks for time in block]

    @property
    def median(self) -> float:
        """Seconds of the median call."""
        return statistics.median(self.times)

    @property
    def tail(self) -> float:
        """Seconds that 99 calls of 100 take at most."""
        return statistics.quantiles(self.times, n=100)[98]

    def quantiles(self) -> list[float]:
        """Return the least time, every hundredth of the way, and the longest."""
        times = self.times
        return [min(times), *statistics.quantiles(times, n=100, method="inclusive"), max(times)]


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio, and the bounds between which it lies with CONFIDENCE."""

    value: float
    low: float
    high: float

    def text(self) -> str:
        """Return it in words."""
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def ratio(one: Series, base: Series, *, seed: int = 0) -> Interval:
    """Return how many times longer a call of `one` takes than one of `base`.

    The medians of the blocks are compared. What disturbed a block of the one disturbed its
    neighbour of the other, so whole pairs are drawn again, not blocks by themselves.

    Args:
        one: measured beside `base`, in as many blocks.
        base: what it is compared with.
        seed: of the draws: the same series have the same interval each time.
    """
    pairs = [
        (statistics.median(ours), statistics.median(theirs))
        for ours, theirs in zip(one.blocks, base.blocks, strict=True)
    ]
    chance = random.Random(seed)  # noqa: S311 - no secret
    drawn = sorted(_ratio(chance.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    outside = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return Interval(_ratio(pairs), drawn[outside], drawn[-1 - outside])


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    ours, theirs = zip(*pairs, strict=True)
    return float(statistics.median(ours) / statistics.median(theirs))
