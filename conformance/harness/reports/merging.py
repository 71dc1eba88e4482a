"""Merging: of the reports of all shards one result, equal to that of the run that was not cut."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..implementation import Implementation
from ..requirements import Requirement
from . import shard
from .reading import Report, ReportError
from .result import Result
from .shard import Shard

_SHOWN = 5
"""Requirements that are named where tests of more are missing."""


@dataclass(frozen=True, slots=True)
class Part:
    """One shard, as its report has it."""

    file: Path
    report: Report
    shard: Shard
    implementation: Implementation
    strict: bool

    def __str__(self) -> str:
        """Name it."""
        return f"{self.file} ({self.shard})"

    @property
    def narrowed(self) -> list[str]:
        """Why it is less than the whole, but that it is a shard."""
        return [text for text in self.report["narrowed"] if text != str(self.shard)]

    def like(self) -> Mapping[str, Any]:
        """Return what all shards of a run have in common."""
        return {
            "implementation": self.report["implementation"],
            "claims": self.report["claims"],
            "known failures": self.implementation.known_failures,
            "suite": self.report["suite"],
            "specification": self.shard.specification,
            "number of shards": self.shard.of,
            "number of tests": sum(self.shard.whole.tests.values()),
            "names of the tests": self.shard.whole.digest,
            "strict": self.strict,
        }


def part(file: Path, report: Report) -> Part:
    """Return the shard that a report is of.

    Raises:
        ReportError: it is of none.
    """
    if "shard" not in report:
        raise ReportError(f"{file}: it is not of a shard: run with --splits=N --group=K")
    return Part(file, report, *shard.read(report["shard"]))


def merge(
    parts: Sequence[Part],
    requirements: dict[str, Requirement],
    *,
    suite: Mapping[str, str],
    specification: str,
    incomplete: bool = False,
) -> Result:
    """Return the result of all shards together.

    Args:
        parts: the shards, in any order.
        requirements: all there are.
        suite: version and commit of this suite.
        specification: digest of the text that the requirements are from.
        incomplete: whether to make do with what there is, which is partial at most.

    Raises:
        ReportError: they are not the shards of one run, overlap, or are not all there.
    """
    first, *others = parts
    for other in others:
        _compare(first, other)
    _judged_by(first, suite, specification)
    _distinct(parts)
    ordered = sorted(parts, key=lambda one: one.shard.number)
    own = sum((one.shard.own() for one in ordered), Counter[str]())
    lacking = {
        name: f"{name} ({count - own[name]} of {count})"
        for name, count in first.shard.whole.tests.items()
        if own[name] < count
    }
    missing = list(_missing(ordered))
    if lacking:
        missing.append(f"tests are missing of {_some(list(lacking.values()))}")
    if missing and not incomplete:
        raise ReportError("; ".join(missing))
    names = [test for one in ordered for test in one.shard.said]
    if not missing and shard.digest(names) != first.shard.whole.digest:
        raise ReportError("the shards did not run the tests that there were in all")
    times = [_time(one.report) for one in ordered]
    result = Result(
        implementation=first.implementation,
        version=first.report["implementation"]["version"],
        seed=ordered[0].report["seed"],
        requirements=requirements,
        narrowed=[*dict.fromkeys(text for one in ordered for text in one.narrowed), *missing],
        strict=first.strict,
        preflight=next((_unready(one.report) for one in ordered if not one.report["started"]), ""),
        began=min(began for began, _ in times),
        seconds=(max(ended for _, ended in times) - min(times)[0]).total_seconds(),
        lacking=list(lacking),
        merged=[_told(one) for one in ordered],
        environment=_environment([one.report["environment"] for one in ordered]),
    )
    for one in ordered:
        for test, said in one.shard.said.items():
            result.take(test, said)
    result.complete()
    return result


def _compare(first: Part, other: Part) -> None:
    for (what, expected), value in zip(first.like().items(), other.like().values(), strict=True):
        if value != expected:
            raise ReportError(
                f"{other} and {first} are not of one run: {what}: {value}, and {expected}"
            )


def _judged_by(first: Part, suite: Mapping[str, str], specification: str) -> None:
    if first.report["suite"] != suite:
        raise ReportError(
            f"{first} is by another suite: {first.report['suite']}; this one is {suite}"
        )
    if first.shard.specification != specification:
        raise ReportError(f"{first} was judged by another text; give it by --specification")


def _distinct(parts: Sequence[Part]) -> None:
    numbers: dict[int, Part] = {}
    tests: dict[str, Part] = {}
    for one in parts:
        if (twin := numbers.setdefault(one.shard.number, one)) is not one:
            raise ReportError(f"{one} and {twin} are the same shard")
        for test in one.shard.said:
            if (twin := tests.setdefault(test, one)) is not one:
                raise ReportError(f"{one} and {twin} both ran {test}: cut them in the same way")


def _missing(parts: Sequence[Part]) -> Iterator[str]:
    """Yield which shards are not there, or not whole."""
    of = parts[0].shard.of
    there = {one.shard.number for one in parts}
    for number in range(1, of + 1):
        if number not in there:
            yield f"shard {number} of {of} is missing"
    for one in parts:
        if not one.shard.ended:
            yield f"{one.shard} did not come to its end"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more requirements" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _unready(report: Report) -> str:
    """Return why the implementation did not become ready."""
    return report.get("preflight") or "the implementation did not become ready in the preflight"


def _time(report: Report) -> tuple[dt.datetime, dt.datetime]:
    """Return when a run began, and when it ended."""
    began = dt.datetime.fromisoformat(report["run"]["began"])
    return began, began + dt.timedelta(seconds=report["run"]["seconds"])


def _told(one: Part) -> dict[str, Any]:
    return {
        "number": one.shard.number,
        "tests": len(one.shard.said),
        "seconds": round(sum(said["seconds"] for said in one.shard.said.values()), 3),
        "seed": one.report["seed"],
        "environment": one.report["environment"],
    }


def _environment(hosts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the hosts have in common, and where they differ all that they have."""
    names = dict.fromkeys(name for host in hosts for name in host)
    return {name: _one_or_all(host.get(name) for host in hosts) for name in names}


def _one_or_all(values: Iterable[Any]) -> Any:
    different = list(dict.fromkeys(values))
    return different[0] if len(different) == 1 else " / ".join(map(str, different))
