"""The report as Markdown, for the page that a CI shows of a run."""

import re
from collections.abc import Iterator, Mapping, Sequence

from .grouping import UNJUDGED, Group, duration, grouped
from .report_json import Report

STEP_TAKES = 1024 * 1024 - 16 * 1024
"""Bytes of a summary that GitHub takes of a step, a little less: 1 MiB, else it shows nothing."""

_REASON = 600
"""Characters of a reason; report.json has all of it."""

_LEFT_OUT = 200
"""Bytes kept free for saying what is left out."""


class Summary:
    """What is told of one run: the verdict, the counts, then what is not as it should be."""

    def __init__(self, report: Report) -> None:
        """Tell of a report."""
        self._report = report

    def text(self, limit: float = float("inf")) -> str:
        """Return the summary in at most so many bytes; it says how much is left out, if any."""
        told = "\n".join([*self._head(), ""])
        room = limit - _size(told) - _LEFT_OUT
        if room < 0:
            return ""
        left_out = 0
        for group, names in grouped(self._report):
            entries = [self._entry(name) for name in names]
            opening, closing = _around(group, len(names))
            room -= _size(opening + closing)
            kept = _fitting(entries, room)
            left_out += len(entries) - len(kept)
            if kept:
                told += opening + "".join(kept) + closing
                room -= _size("".join(kept))
            else:
                room += _size(opening + closing)
        if left_out:
            told += f"\n{left_out} requirements are left out here, for want of room; "
            told += "report.json has them.\n"
        return told

    def _head(self) -> Iterator[str]:
        report = self._report
        who, suite = report["implementation"], report["suite"]
        yield f"## {code(who['name'])} {code(who['version'])}: {report['verdict']}"
        yield ""
        if run := report.get("run"):
            yield (
                f"Exit status {run['exit_status']} ({run['meaning']}), "
                f"{run['began']}, {duration(run['seconds'])}."
            )
        yield (
            f"Suite {code(suite['version'])} at {code(suite['commit'][:12])}; "
            f"claims {code(', '.join(report['claims']))}; seed {report['seed']}."
        )
        if report.get("narrowed"):
            yield f"Less than the whole run: {code('; '.join(report['narrowed']))}."
        if report.get("preflight"):
            yield "\nThe implementation did not become ready; nothing was judged.\n"
            yield fenced(report["preflight"])
        yield "\n| Verdict | Requirements |\n|---|---:|"
        for verdict, count in report["counts"].items():
            yield f"| {verdict} | {count} |"
        if unjudged := report.get("not_selected"):
            yield f"| {UNJUDGED} | {len(unjudged)} |"

    def _entry(self, name: str) -> str:
        """Return the item of one requirement."""
        one = self._report["requirements"].get(name)
        if one is None:
            return f"- {name}\n"
        lines = [f"- **{one['verdict']}** {name} {one['level']} {code(one.get('title', ''))}"]
        if one["reason"]:
            lines.append(f"  - {code(one['reason'])}")
        if again := _again(one.get("cases", ())):
            lines.append(f"  - again: {code(again)}")
        if known := one.get("known_failure"):
            until = f"known until {known['expires']} ({known['kind']})"
            lines.append(f"  - {until}: {code(known['reason'])} {code(known['link'])}")
        if prints := one.get("fingerprints"):
            lines.append(f"  - fingerprint {code(', '.join(prints))}")
        return "\n".join(lines) + "\n"


def _around(group: Group, count: int) -> tuple[str, str]:
    if group.loud:
        return f"\n### {group.heading}: {count}\n\n", ""
    return (
        f"\n<details><summary>{group.heading}: {count}</summary>\n\n{group.note}\n\n",
        "\n</details>\n",
    )


def _fitting(entries: Sequence[str], room: float) -> list[str]:
    kept = []
    for entry in entries:
        room -= _size(entry)
        if room < 0:
            break
        kept.append(entry)
    return kept


def _again(cases: Sequence[Mapping[str, object]]) -> str:
    """Return the command that shows a requirement's first failure again."""
    for case in cases:
        match case.get("failure"):
            case {"again": str(again)}:
                return again
    return ""


def code(text: str) -> str:
    """Return text as a code span: nothing in it is markup, a link or a mention."""
    line = " ".join(text.split())
    if len(line) > _REASON:
        line = f"{line[:_REASON]} …"
    # A bar would end a cell of a table; a fence is longer than any run of ticks within.
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{ticks}{space}{line}{space}{ticks}" if line else ""


def fenced(text: str) -> str:
    """Return text as a block of code."""
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{ticks}text\n{text}\n{ticks}"


def _size(text: str) -> int:
    return len(text.encode())
