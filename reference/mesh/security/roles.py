"""Roles: which methods each of them is granted (AUTH-3, AUTH-9)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

EVERYTHING = "*"
"""Pattern that grants every method, and last part of one that grants a whole service."""


@dataclass(frozen=True, slots=True)
class Grants:
    """What one role is granted: its patterns, sorted by their form."""

    everything: bool
    services: frozenset[str]
    """`/package.Service` of each."""
    methods: frozenset[str]


def grants(patterns: Iterable[str]) -> Grants:
    """Return what patterns grant; they were checked when the configuration was read."""
    patterns = frozenset(patterns)
    services = {each.removesuffix("/*") for each in patterns if each.endswith("/*")}
    return Grants(EVERYTHING in patterns, frozenset(services), patterns)


class Roles:
    """Decides by look-ups alone: nothing is kept of what callers ask for.

    Args:
        patterns: of each role.
    """

    def __init__(self, patterns: Mapping[str, Iterable[str]]) -> None:
        """Sort the patterns."""
        self._granted = {role: grants(each) for role, each in patterns.items()}

    def permit(self, role: str | None, method: str) -> bool:
        """Tell whether a role may call a method; one that is not configured may call none."""
        if role is None or (granted := self._granted.get(role)) is None:
            return False
        return (
            method in granted.methods
            or granted.everything
            or method.rpartition("/")[0] in granted.services
        )
