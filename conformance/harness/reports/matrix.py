"""Several reports on one page: implementations beside each other, requirement by requirement."""

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..requirements import Requirement
from ..verdicts import Verdict
from .comparing import verdict_of
from .grouping import UNJUDGED
from .markdown import code
from .report_json import Report
from .templating import render

ABSENT = "NOT IN EDITION"
"""Said of a requirement that a report's edition of the suite did not have."""

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Column:
    """One report."""

    report: Report
    age: str
    page: str
    """Address of its own page, relative to the matrix; empty where there is none."""

    @property
    def name(self) -> str:
        """What was judged."""
        who = self.report["implementation"]
        return f"{who['name']} {who['version']}"

    @property
    def suite(self) -> str:
        """What judged it."""
        suite = self.report["suite"]
        return f"{suite['version']} at {suite['commit'][:12]}"

    @property
    def began(self) -> str:
        """When."""
        return str(self.report.get("run", {}).get("began", UNKNOWN))

    def cell(self, name: str) -> "Cell":
        """Return what it says of a requirement."""
        verdict = verdict_of(self.report, name) or ABSENT
        told = self.report["requirements"].get(name, {})
        address = f"{self.page}#{name.lower()}" if self.page and verdict != ABSENT else ""
        return Cell(verdict, told.get("reason", ""), address)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one report says of one requirement."""

    verdict: str
    reason: str
    address: str

    @property
    def style(self) -> str:
        """By which it is coloured."""
        return self.verdict.replace(" ", "_")


@dataclass(frozen=True, slots=True)
class Row:
    """A requirement in all reports."""

    id: str
    title: str
    level: str
    chapter: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Chapter:
    """Rows that stand under one heading."""

    heading: str
    rows: Sequence[Row]

    @property
    def totals(self) -> list[str]:
        """How many of its requirements each report's implementation meets."""
        return [_met([row.cells[n] for row in self.rows]) for n in range(len(self.rows[0].cells))]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All reports together."""

    columns: Sequence[Column]
    chapters: Sequence[Chapter]

    @property
    def totals(self) -> list[str]:
        """How many of all requirements each report's implementation meets."""
        rows = [row for chapter in self.chapters for row in chapter.rows]
        return [_met([row.cells[n] for row in rows]) for n in range(len(self.columns))]

    @property
    def absent(self) -> dict[str, list[str]]:
        """The requirements that an edition did not have, by that edition."""
        found = {
            column.suite: [
                row.id for one in self.chapters for row in one.rows if lacks(row.cells[n])
            ]
            for n, column in enumerate(self.columns)
        }
        return {suite: names for suite, names in found.items() if names}

    def html(self) -> str:
        """Return it as a page that needs nothing besides itself."""
        return render("matrix.html.j2", title="Conformance matrix", matrix=self)

    def markdown(self) -> str:
        """Return it as Markdown."""
        return "\n".join([*self._told(), ""])

    def _told(self) -> Iterator[str]:
        names = [code(column.name).replace("|", "\\|") for column in self.columns]
        yield from ("# Conformance matrix", "")
        yield f"| | {' | '.join(names)} |"
        yield f"|---|{'---|' * len(names)}"
        for label, values in (
            ("verdict", [column.report["verdict"] for column in self.columns]),
            ("met", self.totals),
            ("suite", [code(column.suite) for column in self.columns]),
            ("run", [f"{column.began}, {column.age}" for column in self.columns]),
        ):
            yield f"| {label} | {' | '.join(values)} |"
        for chapter in self.chapters:
            yield f"| **{chapter.heading}** | {' | '.join(chapter.totals)} |"
            for row in chapter.rows:
                yield f"| {row.id} | {' | '.join(cell.verdict for cell in row.cells)} |"
        for suite, lacking in self.absent.items():
            yield f"\nSuite {code(suite)} did not have: {', '.join(lacking)}."


def lacks(cell: Cell) -> bool:
    """Tell whether the edition did not have the requirement."""
    return cell.verdict == ABSENT


def matrix(
    found: Mapping[Path, Report],
    requirements: Mapping[str, Requirement],
    *,
    now: dt.datetime,
    beside: Path,
) -> Matrix:
    """Put reports beside each other.

    Args:
        found: the reports, by the file or directory that they were read from.
        requirements: of this edition; they give the order, and what older reports do not tell.
        now: from which the age of a report counts.
        beside: directory of the page, from which links lead to the reports' own pages.
    """
    columns = [
        Column(report, age(report, now), _page(path, beside)) for path, report in found.items()
    ]
    rows = [_row(name, columns, requirements) for name in _names(columns, requirements)]
    chapters = [Chapter(heading, list(some)) for heading, some in groupby(rows, _chapter)]
    return Matrix(columns, chapters)


def age(report: Report, now: dt.datetime) -> str:
    """Return how long ago a run was, in words."""
    if not (began := report.get("run", {}).get("began")):
        return UNKNOWN
    hours = (now - dt.datetime.fromisoformat(began)) / dt.timedelta(hours=1)
    if hours < 0:
        return "in the future, by this clock"
    if hours < 1:
        return "less than an hour ago"
    count, unit = (int(hours), "hour") if hours < 48 else (int(hours / 24), "day")  # noqa: PLR2004 - 2 days
    return f"{count} {unit}{'' if count == 1 else 's'} ago"


def _page(path: Path, beside: Path) -> str:
    page = (path if path.is_dir() else path.parent) / "report.html"
    return quote(os.path.relpath(page, beside)) if page.is_file() else ""


def _names(columns: Sequence[Column], requirements: Mapping[str, Requirement]) -> list[str]:
    """Return all requirements that any report has: by this edition's order, then by theirs."""
    there = {
        name: _told(name, columns)
        for column in columns
        for name in (*column.report["requirements"], *column.report.get("not_selected", ()))
    }
    order = list(requirements)
    known = sorted((name for name in there if name in requirements), key=order.index)
    others = [name for name in there if name not in requirements]
    # Those of a chapter stand together, in whichever edition each was.
    chapters = dict.fromkeys(_heading(name, columns, requirements) for name in [*known, *others])
    place = list(chapters)
    return sorted(
        [*known, *others], key=lambda name: place.index(_heading(name, columns, requirements))
    )


def _told(name: str, columns: Sequence[Column]) -> Mapping[str, Any]:
    """Return what the first report that tells anything tells of a requirement."""
    found = (column.report["requirements"].get(name) for column in columns)
    return next((one for one in found if one), {})


def _heading(name: str, columns: Sequence[Column], requirements: Mapping[str, Requirement]) -> str:
    if name in requirements:
        return requirements[name].chapter
    return str(_told(name, columns).get("chapter") or "Other editions")


def _row(name: str, columns: Sequence[Column], requirements: Mapping[str, Requirement]) -> Row:
    told, own = _told(name, columns), requirements.get(name)
    return Row(
        id=name,
        title=own.title if own else told.get("title", ""),
        level=str(own.level) if own else told.get("level", ""),
        chapter=_heading(name, columns, requirements),
        cells=[column.cell(name) for column in columns],
    )


def _chapter(row: Row) -> str:
    return row.chapter


def _met(cells: Sequence[Cell]) -> str:
    """Return how many are met of those that were judged or could have been."""
    there = [cell for cell in cells if not lacks(cell)]
    red = sum(cell.verdict != UNJUDGED and Verdict(cell.verdict).red for cell in there)
    met = sum(cell.verdict == Verdict.PASS for cell in there)
    return f"{met} of {len(there)}" + (f", {red} red" if red else "")
