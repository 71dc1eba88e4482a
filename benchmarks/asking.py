"""A question is measured once, all of its arms side by side; then each arm is told by its test.

pytest-benchmark times one test after another, which on a noisy machine compares one minute with
the next. So every test of a question has its arm's times told by a clock that was wound before,
and pytest-benchmark prints, saves and compares them as if it had measured them itself.
"""

import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from .interleaved import BLOCK, interleave, interleave_async
from .series import Interval, Series, ratio

WARM_UP = 0.1
"""Seconds for which each arm is tried before anything counts."""

Arms = Mapping[str, Callable[[], object]]
AsyncArms = Mapping[str, Callable[[], Awaitable[object]]]


class WoundClock:
    """Tells times that were measured before, one a reading."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._now = 0.0

    def read(self) -> float:
        """Return the time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


CLOCK = WoundClock()
"""That of every benchmark here."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured, and by how much it is divided."""

    question: str
    case: str
    bytes: int = 0
    """Payload of what one time stands for."""
    calls: int = 1
    """Calls, or messages of a stream, of what one time stands for."""
    unit: str = "calls"
    """What `calls` counts."""

    def __str__(self) -> str:
        """Name it."""
        return f"{self.question}, {self.case}"


class Asked:
    """What was measured so far in this session, by question and case.

    Args:
        seconds: for which each arm is measured.
        least: blocks of each arm at least.
    """

    def __init__(self, seconds: float, least: int) -> None:
        """Begin with nothing."""
        self._seconds = seconds
        self._least = least
        self._found: dict[Case, dict[str, Series]] = {}

    def once(self, case: Case, arms: Callable[[], Arms]) -> dict[str, Series]:
        """Return what all arms of a question take, measured when it is first asked."""
        if case not in self._found:
            calls = arms()
            cycle = sum(_tried(call) for call in calls.values())
            self._found[case] = interleave(calls, blocks=self._blocks(len(calls), cycle * BLOCK))
        return self._found[case]

    async def once_async(
        self, case: Case, arms: Callable[[], AsyncArms], *, block: int = 1
    ) -> dict[str, Series]:
        """Return the same of what is awaited, so many times in a row."""
        if case not in self._found:
            calls = arms()
            cycle = sum([await _tried_async(call) for call in calls.values()])
            blocks = self._blocks(len(calls), cycle * block)
            self._found[case] = await interleave_async(calls, blocks=blocks, block=block)
        return self._found[case]

    def _blocks(self, arms: int, cycle: float) -> int:
        return math.ceil(max(self._least, self._seconds * arms / cycle))


class Question:
    """What one test asks of one arm, handed to pytest-benchmark."""

    def __init__(self, benchmark: BenchmarkFixture, asked: Asked) -> None:
        """Take its fixture, and what was measured so far."""
        self._benchmark: Any = benchmark
        self._asked = asked

    def tell(self, case: Case, arms: Callable[[], Arms], arm: str, *to: str) -> None:
        """Tell the times of an arm.

        Args:
            case: what is measured.
            arms: all that are measured beside it, made when the first of them is told.
            arm: whose times are told.
            to: those that it is compared with, where they are measured too.
        """
        self._tell(case, self._asked.once(case, arms), arm, to)

    async def tell_async(
        self, case: Case, arms: Callable[[], AsyncArms], arm: str, *to: str, block: int = 1
    ) -> None:
        """Tell the same of what is awaited, so many times in a row."""
        self._tell(case, await self._asked.once_async(case, arms, block=block), arm, to)

    def _tell(
        self, case: Case, measured: Mapping[str, Series], arm: str, to: tuple[str, ...]
    ) -> None:
        times: Iterator[float] = iter(measured[arm].times)
        self._benchmark.group = str(case)
        self._benchmark.extra_info |= described(case, arm, measured, to)
        self._benchmark.pedantic(
            lambda: CLOCK.advance(next(times)), rounds=len(measured[arm].times), iterations=1
        )


def described(
    case: Case, arm: str, measured: Mapping[str, Series], to: tuple[str, ...]
) -> dict[str, Any]:
    """Return what is saved of an arm besides pytest-benchmark's own figures."""
    series = measured[arm]
    others = [base for base in to if base in measured and base != arm]
    ratios = {base: ratio(series, measured[base]) for base in others}
    return {
        "question": case.question,
        "case": case.case,
        "arm": arm,
        "unit": case.unit,
        "per_second": case.calls / series.median,
        "mb_per_second": case.bytes / series.median / 1e6,
        "client_cpu": series.cpu,
        "quantiles": series.quantiles(),
        "ratios": {base: _plain(found) for base, found in ratios.items()},
    }


def _plain(found: Interval) -> list[float]:
    return [found.value, found.low, found.high]


def _tried(call: Callable[[], object]) -> float:
    """Call again and again for a moment; return what the quickest call took."""
    quickest, begun = math.inf, time.perf_counter()
    while (now := time.perf_counter()) < begun + WARM_UP:
        undo = call()
        quickest = min(quickest, time.perf_counter() - now)
        if callable(undo):
            undo()
    return quickest


async def _tried_async(call: Callable[[], Awaitable[object]]) -> float:
    quickest, begun = math.inf, time.perf_counter()
    while (now := time.perf_counter()) < begun + WARM_UP:
        undo = await call()
        quickest = min(quickest, time.perf_counter() - now)
        if callable(undo):
            await undo()
    return quickest
