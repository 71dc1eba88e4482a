"""What a person at a terminal reads of a walk."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

from ..printable import printable
from .walk import Finding, Step

_INDENT = 6
_LABEL = 15
_TITLE = 44
_NARROWEST = 60
_MARKS = {"passed": ("✓", "ok"), "broken": ("✗", "FAIL"), "warning": ("!", "!")}
_COLOURS = {"passed": "32", "broken": "31;1", "warning": "33"}


class Teller:
    """Prints steps as they are taken, and the finding.

    Args:
        out: where to.
        quiet: leave out what was exchanged in steps that worked.
    """

    def __init__(self, out: TextIO | None = None, *, quiet: bool = False) -> None:
        """Look at what the terminal can show."""
        self._out = out or sys.stdout
        self._quiet = quiet
        self._unicode = (self._out.encoding or "").lower().replace("-", "") == "utf8"
        self._colour = self._out.isatty() and "NO_COLOR" not in os.environ
        self._width = max(shutil.get_terminal_size((100, 24)).columns, _NARROWEST)
        self._role = ""

    def step(self, step: Step) -> None:
        """Print a step that worked."""
        self._head(step, "passed")
        if not self._quiet:
            self._details(step)
        for warning in step.warnings:
            self._line(f"{'':4}{self._mark('warning')} {printable(warning)}")

    def finding(self, finding: Finding) -> None:
        """Print the first broken rule, and what helps."""
        self._head(finding.step, "broken")
        self._details(finding.step)
        self._line("")
        self._labelled("the rule", f"{finding.rule.text} ({finding.rule.place})")
        self._labelled("expected", finding.expected)
        self._labelled("observed", finding.observed)
        if finding.printed:
            self._labelled("it printed", finding.printed, wrap=False)
        self._listed("likely causes", finding.causes)
        for text in finding.then:
            self._labelled("next", text, wrap=False)

    def _head(self, step: Step, how: str) -> None:
        if step.role != self._role:
            self._role = step.role
            self._line(f"\n{step.role}")
        self._line(f"  {self._mark(how)} {step.title:<{_TITLE}} {step.seconds:6.2f} s")

    def _details(self, step: Step) -> None:
        for label, text in step.details:
            self._labelled(label, text, wrap=False)

    def _listed(self, label: str, texts: Sequence[str]) -> None:
        for number, text in enumerate(texts, start=1):
            self._labelled(label if number == 1 else "", f"{number}. {text}")

    def _labelled(self, label: str, text: str, *, wrap: bool = True) -> None:
        """Print a text beside its label; prose is wrapped, what one may want to copy is not."""
        width = self._width - _INDENT - _LABEL
        # It is what an implementation said: no secret, and nothing that acts on a terminal.
        lines = printable(text).splitlines()
        if wrap:
            lines = [part for line in lines for part in _wrapped(line, width)]
        for number, line in enumerate(lines or [""]):
            self._line(f"{'':{_INDENT}}{label if number == 0 else '':<{_LABEL}}{line}")

    def _mark(self, how: str) -> str:
        mark = _MARKS[how][0 if self._unicode else 1]
        return f"\x1b[{_COLOURS[how]}m{mark}\x1b[0m" if self._colour else mark

    def _line(self, text: str) -> None:
        if not self._unicode:
            text = text.encode("ascii", "backslashreplace").decode("ascii")
        print(text.rstrip(), file=self._out, flush=True)


def plain(finding: Finding) -> str:
    """Return a finding as a text: what a preflight says."""
    return "\n".join(
        (
            finding.sentence,
            f"the rule: {finding.rule.text} ({finding.rule.place})",
            *(f"likely: {cause}" for cause in finding.causes),
            finding.story,
            "each step, and what was exchanged: the same with --doctor",
        )
    )


def _wrapped(line: str, width: int) -> list[str]:
    # Words are not cut: they are paths, and there to be copied.
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
