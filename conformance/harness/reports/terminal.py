"""The summary at the terminal: a verdict a requirement, then what it amounts to."""

from collections.abc import Iterator
from pathlib import Path

from ..verdicts import Verdict
from .result import Result

Line = tuple[str, dict[str, bool]]
"""A line, and how to mark it up."""

_WIDTH = max(len(verdict) for verdict in Verdict)
_SHOWN = 160
"""Characters of a reason in the summary; the report holds all of it."""


def summary(result: Result, report: Path) -> Iterator[Line]:
    """Yield the lines of the summary."""
    for name, verdict in result.verdicts.items():
        judged, requirement = result.judged[name], result.requirements[name]
        yield (
            (
                f"{verdict:<{_WIDTH}}  {name:<8}{requirement.level:<7} {requirement.title}"
                f"  ({len(judged.verdicts)} tests, {judged.seconds:.2f} s)"
            ),
            _markup(verdict),
        )
        if verdict is not Verdict.PASS and judged.reason:
            yield f"{'':<{_WIDTH}}  {'':<8}{_short(judged.reason)}", {}
    if result.not_selected:
        yield f"{len(result.not_selected)} requirements were not selected", {}
    if result.narrowed:
        yield f"less than the whole run: {'; '.join(result.narrowed)}", {}
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(result.counts.items()))
    yield "", {}
    yield f"report: {report}", {}
    yield (
        f"{result.implementation.name} {result.version}: {result.overall}  ({counts})",
        {"bold": True, "red": result.exit_status != 0, "green": result.exit_status == 0},
    )


def _markup(verdict: Verdict) -> dict[str, bool]:
    return {
        "red": verdict.red,
        "green": verdict is Verdict.PASS,
        "yellow": not verdict.red and verdict is not Verdict.PASS,
    }


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …"
