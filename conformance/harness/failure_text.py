"""How a failure reads: what was done, expected and seen, why it matters, how to see it again."""

import os
from dataclasses import dataclass
from pathlib import Path

from .fingerprint import fingerprint
from .judging import NonConformance, Story
from .printable import printable
from .requirements import Requirement
from .verdicts import Verdict

_INDENT = 13
_LAST_STEPS = 8
"""Steps that are shown; the timeline has all of them."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What is told of a test that did not pass, part by part, as it may be written."""

    verdict: Verdict
    reason: str
    did: tuple[str, ...]
    again: str
    """The command that shows it again."""
    looked_at: str = ""
    """What was compared; empty, with the two that follow, where nothing was."""
    expected: str = ""
    observed: str = ""
    fingerprint: str = ""
    """By which a manifest may list it as known; empty where nothing failed."""

    @classmethod
    def of(cls, verdict: Verdict, error: BaseException, story: Story, again: str) -> "Failure":
        """Return what there is to tell of an error, or of the failure that it stands for."""
        seen = error if isinstance(error, NonConformance) else error.__cause__
        compared, mark = ("", "", ""), ""
        if isinstance(seen, NonConformance):
            compared = seen.what, seen.expected, seen.observed
        if isinstance(error, NonConformance):
            mark = fingerprint(what=error.what, expected=error.expected, observed=error.observed)
        return cls(
            verdict,
            printable(str(error) or type(error).__name__),
            tuple(printable(step) for _, step in story.steps[-_LAST_STEPS:]),
            again,
            *(*map(printable, compared), mark),
        )

    def text(self, requirement: Requirement, evidence: Path) -> str:
        """Return all of it as a person reads it."""
        title = f"{requirement.id}  {requirement.level}  {requirement.title}"
        source = f"{requirement.anchor}   (document: {requirement.source}; {requirement.basis})"
        head = f"{title}\n{'':{_INDENT}}{source}"
        if self.verdict is Verdict.WARN:
            head += f"\n{'':{_INDENT}}a warning: this is a SHOULD"
        lines = {"did": "\n".join(self.did) or "see the test's name and the procedure"}
        if self.looked_at:
            lines |= {
                "looked at": self.looked_at,
                "expected": self.expected,
                "observed": self.observed,
            }
        if not self.looked_at or self.verdict is Verdict.INCONCLUSIVE:
            lines["because"] = self.reason
        lines |= {
            "why": requirement.why,
            "evidence": _relative(evidence),
        }
        if self.fingerprint:
            lines["known as"] = f"fingerprint {self.fingerprint}"
        lines["again"] = self.again
        return "\n".join([head, *(_line(label, text) for label, text in lines.items())])


def _line(label: str, text: str) -> str:
    return f"  {label:<{_INDENT - 2}}" + text.replace("\n", "\n" + " " * _INDENT)


def _relative(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
