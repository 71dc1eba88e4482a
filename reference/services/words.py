"""Words that callers choose, as several services check them; each finding names its field."""

import re
from collections.abc import Iterator

from ..mesh.errors import InvalidArgumentError, Violation

WORD = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
"""Safe in a file's name, a log line and a URL alike."""


def word_violations(field: str, value: str, longest: int) -> Iterator[Violation]:
    """Yield what keeps a value from being 1 to `longest` letters, digits, '.', '_' and '-'."""
    if not value:
        yield Violation(field, "must not be empty")
    elif len(value) > longest:
        yield Violation(field, f"has {len(value)} characters, {longest} at most")
    elif not WORD.fullmatch(value):
        yield Violation(field, "must be ASCII letters, digits, '.', '_' and '-'")


def refuse(*violations: Violation) -> None:
    """Refuse a request for what is wrong with it, if anything is.

    Raises:
        InvalidArgumentError: names every field that is wrong.
    """
    if violations:
        raise InvalidArgumentError(*violations)
