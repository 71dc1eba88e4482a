"""How a failure reads: what was done, expected and seen, why it matters, how to see it again."""

import os
from pathlib import Path

from .judging import NonConformance, Story
from .requirements import Requirement
from .verdicts import Verdict

_INDENT = 13
_LAST_STEPS = 8
"""Steps that are shown; the timeline has all of them."""


def failure(  # noqa: PLR0913 - a failure is told by these
    requirement: Requirement,
    error: NonConformance,
    story: Story,
    *,
    evidence: Path,
    again: str,
    verdict: Verdict,
    fingerprint: str,
) -> str:
    """Return the text of a failed requirement."""
    steps = [step for _, step in story.steps][-_LAST_STEPS:]
    title = f"{requirement.id}  {requirement.level}  {requirement.title}"
    source = f"{requirement.anchor}   (document: {requirement.source}; {requirement.basis})"
    head = f"{title}\n{'':{_INDENT}}{source}"
    if verdict is Verdict.WARN:
        head += f"\n{'':{_INDENT}}a warning: this is a SHOULD"
    lines = {
        "did": "\n".join(steps) or "see the test's name and the procedure",
        "looked at": error.what,
        "expected": error.expected,
        "observed": error.observed,
        "why": requirement.why,
        "evidence": _relative(evidence),
        "known as": f"fingerprint {fingerprint}",
        "again": again,
    }
    return "\n".join([head, *(_line(label, text) for label, text in lines.items())])


def _line(label: str, text: str) -> str:
    return f"  {label:<{_INDENT - 2}}" + text.replace("\n", "\n" + " " * _INDENT)


def _relative(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
