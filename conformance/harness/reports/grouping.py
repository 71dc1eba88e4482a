"""Which verdicts stand together in a report, under which heading, and in which order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..verdicts import Verdict
from .report_json import Report

UNJUDGED = "NOT_SELECTED"
"""Said of a requirement of which no test was selected: no verdict."""

UNSCORED = "NOT_SCORED"
"""Said of a red requirement that does not count: no verdict either."""


@dataclass(frozen=True, slots=True)
class Group:
    """Requirements that a reader looks for together."""

    anchor: str
    heading: str
    note: str
    verdicts: tuple[str, ...]
    loud: bool = False
    """Whether they stand open, and not folded away."""


GROUPS = (
    Group(
        "red",
        "Red",
        "The implementation did something else, or could not be exercised although it claims to.",
        (Verdict.HARNESS_ERROR, Verdict.FAIL, Verdict.UNTESTABLE, Verdict.STALE_KNOWN_FAILURE),
        loud=True,
    ),
    Group(
        "inconclusive",
        "Inconclusive",
        "The host stalled meanwhile: neither met nor failed, and red. Run them again.",
        (Verdict.INCONCLUSIVE,),
        loud=True,
    ),
    Group(
        "not-scored",
        "Not scored",
        "They came after the release that is asked for, and are not met.",
        (UNSCORED,),
    ),
    Group("warnings", "Warnings", "A SHOULD is not met.", (Verdict.WARN,)),
    Group(
        "known",
        "Known failures",
        "Failed, and listed as such in the manifest until they expire.",
        (Verdict.KNOWN_FAILURE,),
    ),
    Group("not-run", "Not run", "This host cannot exercise them.", (Verdict.NOT_RUN,)),
    Group(
        "not-claimed",
        "Not claimed",
        "Their profile, or the MAY itself, is not among the claims.",
        (Verdict.NOT_CLAIMED,),
    ),
    Group(
        "not-selected",
        "Not selected",
        "No test of them was selected: this run is less than the whole.",
        (UNJUDGED,),
    ),
)


def grouped(report: Report) -> Iterator[tuple[Group, list[str]]]:
    """Yield each group with the IDs of its requirements, those alone that have any."""
    verdicts = {name: _said(one) for name, one in report["requirements"].items()}
    verdicts |= dict.fromkeys(report.get("not_selected", ()), UNJUDGED)
    for group in GROUPS:
        # The worst first, each kind in the order of the text.
        if names := [
            name
            for wanted in group.verdicts
            for name, verdict in verdicts.items()
            if verdict == wanted
        ]:
            yield group, names


def _said(one: Mapping[str, Any]) -> str:
    counts = one.get("scored", True) or not Verdict(one["verdict"]).red
    return str(one["verdict"]) if counts else UNSCORED


def duration(seconds: float) -> str:
    """Return a time as people read it."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - digits
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
