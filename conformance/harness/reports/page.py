"""report.html: chapter, requirement, evidence, in one file."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ..requirements import PROFILES, Requirement
from ..verdicts import Verdict
from .grouping import UNJUDGED, grouped
from .report_json import Report
from .templating import render

_EXCERPT = 24
"""Last lines of a timeline that are shown; the file has all of them."""

_WIDTH = 240
"""Characters of each."""

_TIMELINES = 100
"""Tests with evidence at most whose timelines are shown: who fails everything has another problem,
and a page of megabytes besides."""

_READ = 64 * 1024
"""Bytes at the end of a timeline in which its last lines are looked for."""


@dataclass(frozen=True, slots=True)
class Case:
    """A test, with what its evidence shows."""

    told: Mapping[str, Any]
    files: Sequence[str]
    """Of its evidence, by name."""
    timeline: str

    @property
    def anchor(self) -> str:
        """Name of its evidence within the page."""
        return str(self.told.get("evidence", ""))


@dataclass(frozen=True, slots=True)
class Row:
    """A requirement, with what was said of it."""

    id: str
    verdict: str
    requirement: Requirement
    told: Mapping[str, Any]
    """As report.json has it; empty where no test of it was selected."""
    cases: Sequence[Case]
    known: Mapping[str, Any] | None
    """The entry that excuses it."""

    @property
    def red(self) -> bool:
        """Whether it keeps the implementation from being conformant."""
        if self.verdict == UNJUDGED or not self.scored:
            return False
        return Verdict(self.verdict).red

    @property
    def scored(self) -> bool:
        """Whether it counts."""
        return bool(self.told.get("scored", True))


@dataclass(frozen=True, slots=True)
class Chapter:
    """Requirements that stand under one heading."""

    heading: str
    anchor: str
    rows: Sequence[Row]

    @property
    def counts(self) -> Counter[str]:
        """How many have each verdict."""
        return Counter(row.verdict for row in self.rows)


def page(
    report: Report,
    requirements: Mapping[str, Requirement],
    directory: Path,
) -> str:
    """Return the page.

    Args:
        report: what it shows.
        requirements: the text that was judged by.
        directory: where the evidence lies, and where the page will.
    """
    evident = sum("evidence" in case for case in _cases(report))
    read = _end if evident <= _TIMELINES else _left_out
    rows = [
        _row(report, requirement, lambda case: _case(case, directory, read))
        for requirement in requirements.values()
    ]
    by_name = {row.id: row for row in rows}
    return render(
        "report.html.j2",
        title=f"{report['implementation']['name']} {report['implementation']['version']}: "
        f"{report['verdict']}",
        report=report,
        groups=[(group, [by_name[name] for name in names]) for group, names in grouped(report)],
        chapters=list(_chapters(rows)),
        verdicts=_ordered(Counter(row.verdict for row in rows)),
        order=_ordered,
        profiles=sorted(PROFILES),
        link=link,
    )


def link(text: str) -> str:
    """Return an address that a reader may follow; empty for what is none."""
    return text if text.startswith(("https://", "http://")) else ""


def _ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    """Return counts, the worst verdict first."""
    order = [*reversed(Verdict), UNJUDGED]
    return [(str(verdict), counts[verdict]) for verdict in order if counts[verdict]]


def _chapters(rows: Sequence[Row]) -> Iterator[Chapter]:
    for heading, some in groupby(rows, lambda row: row.requirement.chapter):
        anchor = f"chapter-{heading.partition(' ')[0] or 'all'}"
        yield Chapter(heading or "Requirements", anchor, list(some))


def _cases(report: Report) -> Iterator[Mapping[str, Any]]:
    for one in report["requirements"].values():
        yield from one.get("cases", ())


def _row(
    report: Report,
    requirement: Requirement,
    case: Callable[[Mapping[str, Any]], Case],
) -> Row:
    told = report["requirements"].get(requirement.id, {})
    return Row(
        id=requirement.id,
        verdict=told.get("verdict", UNJUDGED),
        requirement=requirement,
        told=told,
        cases=[case(one) for one in told.get("cases", ())],
        known=told.get("known_failure"),
    )


def _case(told: Mapping[str, Any], directory: Path, read: Callable[[Path], str]) -> Case:
    if not told.get("evidence"):
        return Case(told, (), "")
    place = directory / told["evidence"]
    files = sorted(file.name for file in place.iterdir()) if place.is_dir() else []
    timeline = read(place / "timeline.txt") if "timeline.txt" in files else ""
    return Case(told, files, timeline)


def _left_out(file: Path) -> str:
    """Say why a timeline is not shown."""
    return f"More than {_TIMELINES} tests left evidence: {file.name} stands there, not here."


def _end(file: Path) -> str:
    """Return the last lines of a file."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _READ))
        text = stream.read().decode(errors="replace")
    lines = text.splitlines()[-_EXCERPT:]
    return "\n".join(line if len(line) <= _WIDTH else f"{line[:_WIDTH]} …" for line in lines)
