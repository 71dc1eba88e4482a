"""The metrics of calls (document: Metrics Collection; MET-2 to MET-5).

Each call is counted into plain numbers, and what a scraper reads is made of them when it asks:
a twentieth of what the client library's own counters cost a call.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from .calls import Call
from .stages import Stage
from .telemetry.tracing import OK

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: upper bounds of the document's buckets, which are Go's default; the last has none."""

UNKNOWN = "unknown"
"""Service and method of all calls of methods that there are not (MET-5)."""

_LIMITS = tuple(round(bound * 1e9) for bound in BUCKETS)


@dataclass(slots=True)
class Series:
    """Calls of one method that ended in one way."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    """By bucket, each call in one alone."""
    nanoseconds: int = 0
    """That they took together."""

    @property
    def total(self) -> int:
        """How many they are."""
        return sum(self.counts)

    def cumulative(self) -> list[int]:
        """How many took at most as long as each bucket's upper bound."""
        return list(accumulate(self.counts))


class CallMetrics(Stage):
    """Counts and measures every call, and knows how many are in flight."""

    def __init__(self) -> None:
        """Start with none."""
        self._series: dict[tuple[str, str], Series] = {}
        self._in_flight: Counter[str] = Counter()

    def began(self, calls: Sequence[Call]) -> None:
        """Count calls in flight."""
        for call in calls:
            self._in_flight[call.method if call.exists else UNKNOWN] += 1

    def done(self, calls: Sequence[Call]) -> None:
        """Count calls that have ended."""
        for call in calls:
            method = call.method if call.exists else UNKNOWN
            self._in_flight[method] -= 1
            if (series := self._series.get((method, call.code))) is None:
                series = self._series[method, call.code] = Series()
            taken = call.ended - call.started
            series.nanoseconds += taken
            series.counts[bisect_left(_LIMITS, taken)] += 1

    def ended(self) -> Iterable[tuple[tuple[str, str, str], Series]]:
        """Return what has ended, by service, method and status."""
        for (method, code), series in self._series.items():
            yield (*parsed(method), status(code)), series

    def in_flight(self) -> Iterable[tuple[tuple[str, str], int]]:
        """Return how many calls are in flight, by service and method."""
        for method, number in self._in_flight.items():
            yield parsed(method), number


def parsed(method: str) -> tuple[str, str]:
    """Return service and method of a path."""
    service, _, name = method.removeprefix("/").rpartition("/")
    return (service, name) if service else (UNKNOWN, UNKNOWN)


def status(code: str) -> str:
    """Return a code's name as the label `status` has it (document: MetricsInterceptor)."""
    return "success" if code == OK else code
