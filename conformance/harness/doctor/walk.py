"""A walk through the launch contract: steps with what was exchanged, to the first broken rule."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from ..judging import NonConformance
from .rules import Rule


class Depth(IntEnum):
    """How far a role is walked."""

    READY = 1
    """To SERVING: the preflight."""
    USED = 2
    """It is used, and ended: `--smoke`, which tells a broken adapter from one that works."""
    WHOLE = 3
    """Its log is read, and what it must refuse is given to it, in every variety: the doctor."""


@dataclass(slots=True)
class Step:
    """One thing that was done, and what was exchanged meanwhile."""

    role: str
    """Of the process that it is about: `service identity`."""
    title: str
    seconds: float = 0.0
    details: list[tuple[str, str]] = field(default_factory=list)
    """Label and text, in order."""
    warnings: list[str] = field(default_factory=list)
    """What does not matter for what is claimed, and would for more."""

    def show(self, label: str, text: Any) -> None:
        """Keep a part of the exchange."""
        self.details.append((label, str(text)))

    def warn(self, text: str) -> None:
        """Keep what will matter later."""
        self.warnings.append(text)


@dataclass(slots=True)
class Finding:
    """The first rule broken, and what a person needs who never saw this suite."""

    step: Step
    rule: Rule
    expected: str
    observed: str
    causes: Sequence[str] = ()
    """The likeliest first."""
    then: Sequence[str] = ()
    """What to do next."""
    story: str = ""
    """How the process ended, and the end of what it printed; empty: there is none."""
    printed: str = ""
    """The end of what it printed alone."""

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        return (
            f"{self.step.role}: {self.step.title}:"
            f" expected {self.expected}, observed {self.observed}"
        )


class BrokenRule(Exception):  # noqa: N818 - that is what it is
    """A rule is broken: the walk ends here."""

    def __init__(
        self, rule: Rule, expected: str, observed: str, causes: Sequence[str] = ()
    ) -> None:
        """Say which, what should have been seen, what was, and what that usually comes from."""
        super().__init__(f"expected {expected}, observed {observed}")
        self.rule = rule
        self.expected = expected
        self.observed = observed
        self.causes = causes


class Found(Exception):  # noqa: N818 - ends a walk, and holds what was found
    """The walk ended at a broken rule."""

    def __init__(self, finding: Finding) -> None:
        """Keep it."""
        super().__init__(finding.sentence)
        self.finding = finding


class Walk:
    """The steps so far.

    Args:
        tell: is told each step that worked, when it has.
    """

    def __init__(self, tell: Callable[[Step], object] = lambda _: None) -> None:
        """Begin with no step."""
        self._tell = tell
        self.role = ""
        """Of the process that the next steps are about."""

    @asynccontextmanager
    async def step(self, title: str, rule: Rule, *causes: str) -> AsyncIterator[Step]:
        """Take a step, which tells of its exchange as it goes.

        Args:
            title: what is done, in a few words.
            rule: the one that is broken if the step fails without naming another.
            causes: what that usually comes from, if the failure names none.

        Raises:
            Found: a rule is broken.
        """
        step, begin = Step(self.role, title), time.monotonic()
        try:
            yield step
        except BrokenRule as broken:
            step.seconds = time.monotonic() - begin
            found = Finding(step, broken.rule, broken.expected, broken.observed, broken.causes)
            raise Found(found) from broken
        except NonConformance as problem:
            step.seconds = time.monotonic() - begin
            expected = f"{problem.what}: {problem.expected}"
            found = Finding(step, rule, expected, problem.observed, causes)
            raise Found(found) from problem
        step.seconds = time.monotonic() - begin
        self._tell(step)
