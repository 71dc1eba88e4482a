"""What a test says: what it did, what it expects, and why it cannot tell.

A violation is a `NonConformance`. Everything else that can keep a test from
its verdict has a type of its own, so that none is taken for another.
"""

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from .printable import printable

T = TypeVar("T")

_RUN = re.compile(r"(.)\1{39,}")
"""One character again and again: input that is about its length."""

SHOWN = 2000
"""Characters of a value that a failure shows at most; the evidence holds the rest."""


_READ = 32 * SHOWN
"""Characters in which secrets are looked for: a mark is shorter than its secret, by much less."""


class NonConformance(AssertionError):  # noqa: N818 - the word of the field
    """The implementation did something else than the requirement asks for."""

    def __init__(self, *, what: str, expected: Any, observed: Any) -> None:
        """Say what was looked at, what should have been seen, and what was seen."""
        self.what = what
        self.expected = _shown(expected)
        self.observed = _shown(observed)
        super().__init__(f"{what}: expected {self.expected}, observed {self.observed}")


class Untestable(Exception):  # noqa: N818 - the verdict's name
    """What the test builds on does not work."""


class NotRun(Exception):  # noqa: N818 - the verdict's name
    """This host cannot exercise the requirement."""


class Inconclusive(Exception):  # noqa: N818 - the verdict's name
    """The host stalled while it was measured."""


@dataclass(slots=True)
class Story:
    """What happened in one test so far."""

    steps: list[tuple[float, str]] = field(default_factory=list)
    """Wall-clock time in seconds, and what was done."""
    attachments: dict[str, bytes | str | Callable[[], str]] = field(default_factory=dict)


_current = Story()


def begin() -> Story:
    """Start the story of another test."""
    global _current  # noqa: PLW0603 - one test at a time runs in a process
    _current = Story()
    return _current


def did(step: str) -> None:
    """Note what was done, for the story of a failure."""
    _current.steps.append((time.time(), step))


def attach(name: str, content: bytes | str | Callable[[], str]) -> None:
    """Keep something as evidence; a callable is asked when the evidence is written."""
    _current.attachments[name] = content


def untestable(reason: str) -> NoReturn:
    """End the test: it cannot be exercised, although it is claimed."""
    raise Untestable(reason)


def not_run(reason: str) -> NoReturn:
    """End the test: this host cannot exercise it."""
    raise NotRun(reason)


def inconclusive(reason: str) -> NoReturn:
    """End the test: what was measured cannot be trusted."""
    raise Inconclusive(reason)


_UNSET: Any = object()


def expect(  # noqa: PLR0913 - each names one kind of comparison, and one is given
    observed: T,
    *,
    what: str,
    equals: Any = _UNSET,
    one_of: Collection[Any] = (),
    matches: str = "",
    at_most: Any = None,
    at_least: Any = None,
    show: Callable[[Any], str] | None = None,
) -> T:
    """Compare what was observed with what the requirement asks for; return it.

    Args:
        observed: what was seen.
        what: what that is, in words.
        equals: the one right value.
        one_of: all right values.
        matches: a regular expression that must be found from the beginning.
        at_most: the largest right value.
        at_least: the smallest right value.
        show: how to print a value.

    Raises:
        NonConformance: they differ.
    """
    shown = show or repr
    findings: list[tuple[bool, str]] = []
    if equals is not _UNSET:
        findings.append((observed == equals, shown(equals)))
    if one_of:
        findings.append((observed in one_of, "one of " + ", ".join(map(shown, one_of))))
    if matches:
        found = isinstance(observed, str) and re.match(matches, observed) is not None
        findings.append((found, f"text that matches {matches}"))
    if at_most is not None:
        findings.append((observed <= at_most, f"at most {shown(at_most)}"))
    if at_least is not None:
        findings.append((observed >= at_least, f"at least {shown(at_least)}"))
    if not findings:
        raise TypeError(f"nothing is expected of {what}")
    if not all(right for right, _ in findings):
        expected = " and ".join(text for _, text in findings)
        raise NonConformance(
            what=what, expected=expected, observed=_differing(observed, equals, shown)
        )
    return observed


def _differing(observed: Any, equals: Any, shown: Callable[[Any], str]) -> str:
    """Show what was observed; of two long tables only where they differ."""
    text = shown(observed)
    if len(text) > SHOWN and isinstance(observed, dict) and isinstance(equals, dict):
        differing = {
            key: observed.get(key, "(missing)")
            for key in [*observed, *(set(equals) - set(observed))]
            if key not in observed or observed[key] != equals.get(key, _UNSET)
        }
        return f"differs at {shown(differing)}"
    return text


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = _RUN.sub(lambda run: f"{run[1]}… ({len(run[0])} times)", text)
    # Before it is cut to what is shown: of half a secret nobody knows that it is one.
    shown = printable(text[:_READ])
    if len(text) <= _READ and len(shown) <= SHOWN:
        return shown
    return f"{shown[:SHOWN]} … ({len(text)} characters in all)"
