"""Compare two reports: what was fixed, what broke, what is new, gone or changed.

INCONCLUSIVE, NOT_RUN, NOT_CLAIMED, HARNESS_ERROR and what was not selected say nothing of an
implementation: they are neither fixed nor broken, but not comparable. The exit status is 1 if
anything broke, else 0.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from ..harness.reports.comparing import MEANINGS, Change, Kind, changes
from ..harness.reports.markdown import code
from ..harness.reports.reading import Report, read

NAME = "diff"

BROKEN = 1
"""Exit status if anything broke."""

_SHOWN = 160
"""Characters of a reason at the terminal."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    for name in ("old", "new"):
        parser.add_argument(
            name, type=Path, metavar=name.upper(), help="a report.json, or its directory"
        )
    parser.add_argument(
        "--format", choices=["text", "md", "json"], default="text", help="default: %(default)s"
    )


def run(options: argparse.Namespace) -> int:
    """Print what differs; return 1 if anything broke."""
    old, new = read(options.old), read(options.new)
    found = changes(old, new)
    formats = {"text": _text, "md": _markdown, "json": _json}
    print("\n".join(formats[options.format](old, new, found)))
    return BROKEN if any(change.kind is Kind.BROKEN for change in found) else 0


def _text(old: Report, new: Report, found: Sequence[Change]) -> Iterator[str]:
    yield f"old: {_title(old)}"
    yield f"new: {_title(new)}"
    for kind, some in _kinds(found):
        yield f"\n{kind} ({len(some)}): {MEANINGS[kind]}"
        for change in some:
            yield f"  {change.id:<9}{change.text}  {change.title}"
            if change.reason:
                yield f"  {'':<9}{_short(change.reason)}"
    yield ""
    yield _counted(found)


def _markdown(old: Report, new: Report, found: Sequence[Change]) -> Iterator[str]:
    yield f"## {_counted(found)}\n"
    yield f"Old: {code(_title(old))}; new: {code(_title(new))}."
    for kind, some in _kinds(found):
        yield f"\n### {kind.capitalize()}: {len(some)}\n\n{MEANINGS[kind].capitalize()}.\n"
        for change in some:
            yield f"- {change.id} {change.text} {code(change.title)}"
            if change.reason:
                yield f"  - {code(change.reason)}"


def _json(old: Report, new: Report, found: Sequence[Change]) -> Iterator[str]:
    sides = {
        side: {name: report[name] for name in ("implementation", "suite", "verdict")}
        for side, report in (("old", old), ("new", new))
    }
    told: dict[str, object] = {_key(kind): [] for kind in Kind}
    told |= {_key(kind): [_plain(change) for change in some] for kind, some in _kinds(found)}
    yield json.dumps(sides | told, indent=2, ensure_ascii=False)


def _key(kind: Kind) -> str:
    return kind.replace(" ", "_")


def _plain(change: Change) -> dict[str, str]:
    return {name: value for name, value in asdict(change).items() if name != "kind"}


def _kinds(found: Sequence[Change]) -> Iterator[tuple[Kind, list[Change]]]:
    for kind, some in groupby(found, lambda change: change.kind):
        yield kind, list(some)


def _counted(found: Sequence[Change]) -> str:
    told = [f"{len(some)} {kind}" for kind, some in _kinds(found)]
    return ", ".join(told) or "nothing differs"


def _title(report: Report) -> str:
    who, suite = report["implementation"], report["suite"]
    judged = f"{who['name']} {who['version']}: {report['verdict']}"
    return f"{judged}, by suite {suite['version']} at {suite['commit'][:12]}"


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …"
