"""A shard: one of several runs that judge an implementation together, a part of the tests each.

What its report tells besides, under `shard`, is all that `merge` has to know to come to the verdict
of the one run that these are parts of: what each test said, which tests there were in all, and what
else that verdict is made from.
"""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from ..implementation import Implementation
from ..known_failures import KnownFailure

Said = dict[str, Any]
"""What is reported of a test: `requirement`, `verdict`, `reason`, `seconds`, and whatever else."""

_OWN = frozenset({"command", "cwd", "manifest", "version_command", "build", "env"})
"""What of an implementation is its host's, and bears on no verdict."""


@dataclass(frozen=True, slots=True)
class Whole:
    """The tests of all shards together."""

    tests: dict[str, int]
    """How many there are, by requirement."""
    digest: str
    """Of their names."""


@dataclass(slots=True)
class Shard:
    """Which part a run is, and what was said in it."""

    number: int
    of: int
    specification: str
    """Digest of the text that was judged by."""
    whole: Whole = field(default_factory=lambda: whole({}))
    said: dict[str, Said] = field(default_factory=dict)
    """By test."""
    ended: bool = True
    """Whether the run came to its end."""

    def __str__(self) -> str:
        """Name it."""
        return f"shard {self.number} of {self.of}"

    def own(self) -> Counter[str]:
        """Return how many tests said something here, by requirement."""
        return Counter(said["requirement"] for said in self.said.values())

    @property
    def lacking(self) -> list[str]:
        """Requirements that have more tests than said something here."""
        own = self.own()
        return [name for name, count in self.whole.tests.items() if own[name] < count]


def whole(tests: Mapping[str, str]) -> Whole:
    """Return what identifies some tests, of which each is given with its requirement."""
    return Whole(dict(Counter(tests.values())), digest(tests))


def digest(names: Iterable[str]) -> str:
    """Return what only these names have."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def name(nodeid: str) -> str:
    """Return the name of a test, which is the same wherever the suite is installed."""
    file, separator, rest = nodeid.partition("::")
    return f"{Path(file).name}{separator}{rest}"


def document(shard: Shard, implementation: Implementation, *, strict: bool) -> dict[str, Any]:
    """Return what a report has under `shard`."""
    return asdict(shard) | {"strict": strict, "implementation": _told(implementation)}


def read(told: Mapping[str, Any]) -> tuple[Shard, Implementation, bool]:
    """Return the shard of a report, the implementation, and whether what was not run is red."""
    names = {one.name for one in fields(Shard)}
    parts = {key: value for key, value in told.items() if key in names}
    shard = Shard(**parts | {"whole": Whole(**told["whole"])})
    return shard, _implementation(told["implementation"]), told["strict"]


def _told(implementation: Implementation) -> dict[str, Any]:
    return {
        one.name: _plain(getattr(implementation, one.name))
        for one in fields(Implementation)
        if one.name not in _OWN
    }


def _plain(value: Any) -> Any:
    match value:
        case tuple():
            return [_plain(one) for one in value]
        case frozenset():
            return sorted(value)
        case dt.date():
            return value.isoformat()
        case _ if is_dataclass(value):
            return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        case _:
            return value


def _implementation(told: Mapping[str, Any]) -> Implementation:
    """Return an implementation that nobody can run, for its verdict alone."""
    hints = get_type_hints(Implementation)
    values: dict[str, Any] = {
        key: get_origin(hints[key])(value) if isinstance(value, list) else value
        for key, value in told.items()
    }
    values["known_failures"] = tuple(
        KnownFailure(**one | {"expires": dt.date.fromisoformat(one["expires"])})
        for one in told["known_failures"]
    )
    return Implementation(command=(), cwd=Path(), **values)
