"""What a process measures: counters, and whatever else has a name and values to read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

Labels = tuple[str, ...]
"""Values of a measure's labels, in their order."""


class Counter:
    """Counts what happens in this process; only grows.

    Args:
        name: as it is exported, with `_total` at its end.
        description: what is counted.
    """

    def __init__(self, name: str, description: str) -> None:
        """Start at zero."""
        self.name = name
        self.description = description
        self.total = 0
        """Since the process began."""

    def __repr__(self) -> str:
        """Show the total."""
        return f"Counter({self.name!r}, total={self.total})"

    def add(self, number: int = 1) -> None:
        """Count."""
        self.total += number

    def read(self) -> Iterable[tuple[Labels, float]]:
        """Return the one value."""
        return [((), self.total)]


@dataclass(frozen=True, slots=True)
class Gauge:
    """Values that go up and down, read when somebody asks."""

    name: str
    description: str
    labels: Sequence[str]
    read: Callable[[], Iterable[tuple[Labels, float]]]


@dataclass(frozen=True, slots=True)
class Measures:
    """All that one process measures besides its calls."""

    counters: dict[str, Counter] = field(default_factory=dict)
    gauges: dict[str, Gauge] = field(default_factory=dict)

    def counter(self, name: str, description: str) -> Counter:
        """Return the counter of a name; the same one each time."""
        return self.counters.setdefault(name, Counter(name, description))

    def gauge(self, gauge: Gauge) -> None:
        """Export a gauge; it takes the place of another of its name."""
        self.gauges[gauge.name] = gauge


PROCESS = Measures()
"""Those of this process: like its log, it has one set of them."""
