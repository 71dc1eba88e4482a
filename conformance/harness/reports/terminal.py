"""The summary at the terminal: a verdict a requirement, then what it amounts to."""

from collections.abc import Iterator
from pathlib import Path

from ..known_failures import Seen
from ..verdicts import Verdict
from .result import Result

Line = tuple[str, dict[str, bool]]
"""A line, and how to mark it up."""

_WIDTH = max(len(verdict) for verdict in Verdict)
_SHOWN = 160
"""Characters of a reason in the summary; the report holds all of it."""


def summary(result: Result, report: Path) -> Iterator[Line]:
    """Yield the lines of the summary.

    Args:
        result: what came out.
        report: the page that tells more.
    """
    for name, seen in result.said.items():
        judged, requirement = result.judged[name], result.requirements[name]
        aside = "" if result.scored(name) else ", not scored"
        yield (
            (
                f"{seen.verdict:<{_WIDTH}}  {name:<8}{requirement.level:<7} {requirement.title}"
                f"  ({len(judged.tests)} tests, {judged.seconds:.2f} s{aside})"
            ),
            _markup(seen.verdict),
        )
        for line in _details(result, name, seen):
            yield f"{'':<{_WIDTH}}  {'':<8}{line}", {}
    if later := [name for name in result.said if not result.scored(name)]:
        release = result.implementation.release
        yield f"{len(later)} requirements came after {release}, and are not scored", {}
    if result.not_selected:
        yield f"{len(result.not_selected)} requirements were not selected", {}
    if result.narrowed:
        yield f"less than the whole run: {'; '.join(result.narrowed)}", {}
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(result.counts.items()))
    asked = f" by {release}" if (release := result.implementation.release) else ""
    yield "", {}
    yield f"report: {report}", {}
    yield (
        f"{result.implementation.name} {result.version}: {result.overall}{asked}  ({counts})",
        {"bold": True, "red": result.exit_status != 0, "green": result.exit_status == 0},
    )


def _details(result: Result, name: str, seen: Seen) -> Iterator[str]:
    """Yield what else is to be known of a requirement that is not simply passed."""
    prints = result.judged[name].fingerprints
    if seen.verdict is not Verdict.PASS and seen.reason:
        yield _short(seen.reason)
    if (entry := result.excused_by(name, seen)) is not None:
        yield _short(f"known until {entry.expires} ({entry.kind}, {entry.link}): {entry.reason}")
    if prints:
        yield f"fingerprint {', '.join(prints)}"


def _markup(verdict: Verdict) -> dict[str, bool]:
    return {
        "red": verdict.red,
        "green": verdict is Verdict.PASS,
        "yellow": not verdict.red and verdict is not Verdict.PASS,
    }


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …"
