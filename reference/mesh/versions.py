"""Versions of services: which of those that are there serves a caller (document: Rolling Updates).

They compare as semantic versions 2.0: a pre-release is below its release, and
build metadata says nothing of the order.
"""

from collections.abc import Collection, Iterable

from semver import Version

from .errors import InvalidArgumentError, Violation

SHOWN = 80
"""Characters of a malformed word that its refusal repeats: a status has to fit its trailers."""


def parse(text: str) -> Version:
    """Read a version.

    Raises:
        InvalidArgumentError: it is no semantic version.
    """
    try:
        return Version.parse(text)
    except ValueError:
        told = f"{text[:SHOWN]!r} is no semantic version"
        raise InvalidArgumentError(Violation("version", told)) from None


def order(version: str) -> tuple[Version | str, ...]:
    """Return a key to sort versions by: unversioned first, then ascending.

    Raises:
        InvalidArgumentError: it is neither empty nor a semantic version.
    """
    # The text decides between versions that differ in their build alone.
    return (parse(version), version) if version else ()


def highest(there: Iterable[str]) -> str | None:
    """Return the highest version; None when there is none."""
    return max(there, key=order, default=None)


def choose(wanted: str, there: Collection[str]) -> str | None:
    """Return the version that serves who asks for `wanted`; None when none does.

    The same version if it is there, else the highest one that is compatible:
    the same major version (with major version 0 the same minor one too), and
    not lower. Pre-releases count like all others.

    Raises:
        InvalidArgumentError: one of them is no semantic version.
    """
    asked = parse(wanted)
    if wanted in there:
        return wanted
    return highest(each for each in there if _serves(parse(each), asked))


def _serves(offered: Version, asked: Version) -> bool:
    alike = offered.major == asked.major and (asked.major > 0 or offered.minor == asked.minor)
    return alike and offered >= asked
