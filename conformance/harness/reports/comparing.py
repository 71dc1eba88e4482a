"""Two reports side by side: what was fixed, what broke, and what cannot be compared."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..verdicts import Verdict
from .grouping import UNJUDGED
from .report_json import Report

_MET = frozenset({Verdict.PASS, Verdict.STALE_KNOWN_FAILURE})
_UNMET = frozenset({Verdict.WARN, Verdict.FAIL, Verdict.UNTESTABLE, Verdict.KNOWN_FAILURE})
# All others say nothing of the implementation: the host, the claims or the suite are the reason.

_VARYING = re.compile(r"#[0-9a-f]{8}\b|\d+(?:\.\d+)?")
"""What differs from run to run in a reason: marks of secrets, times, ports, PIDs."""


class Kind(StrEnum):
    """What became of a requirement."""

    BROKEN = "broken"
    FIXED = "fixed"
    CHANGED = "changed"
    NEW = "new"
    GONE = "gone"
    NOT_COMPARABLE = "not comparable"


MEANINGS = {
    Kind.BROKEN: "met before, and no longer",
    Kind.FIXED: "not met before, and met now",
    Kind.CHANGED: "still not met, by another verdict or for another reason; or still met",
    Kind.NEW: "the old report's edition did not have it",
    Kind.GONE: "the new report's edition does not have it",
    Kind.NOT_COMPARABLE: "one of the two says nothing of the implementation",
}


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one requirement."""

    id: str
    title: str
    kind: Kind
    old: str
    """Its verdict before; empty where there was no such requirement."""
    new: str
    reason: str
    """What the new report says of it; of what is gone the old one."""

    @property
    def text(self) -> str:
        """Its verdicts, in words."""
        return f"{self.old or '(none)'} → {self.new or '(none)'}"


def changes(old: Report, new: Report) -> list[Change]:
    """Return what differs, by kind, in the order of the new report."""
    found = [change for name in _all(new, old) if (change := _change(old, new, name))]
    order = list(Kind)
    return sorted(found, key=lambda change: order.index(change.kind))


def verdict_of(report: Report, name: str) -> str:
    """Return the verdict on a requirement; empty where the report's edition does not have it."""
    if one := report["requirements"].get(name):
        return str(one["verdict"])
    return UNJUDGED if name in report.get("not_selected", ()) else ""


def _all(*reports: Report) -> Iterator[str]:
    names: dict[str, Any] = {}
    for report in reports:
        names |= dict.fromkeys([*report["requirements"], *report.get("not_selected", ())])
    yield from names


def _change(old: Report, new: Report, name: str) -> Change | None:
    before, after = verdict_of(old, name), verdict_of(new, name)
    was, now = (report["requirements"].get(name, {}) for report in (old, new))
    kind = _kind(before, after)
    if kind is None:
        return None
    reasons = [one.get("reason", "") for one in (was, now)]
    if kind is Kind.CHANGED and before == after and _same(*reasons):
        return None
    told = now or was
    return Change(name, told.get("title", ""), kind, before, after, told.get("reason", ""))


def _kind(before: str, after: str) -> Kind | None:
    """Return what two verdicts come to, as far as that can be told without their reasons."""
    if not before or not after:
        return Kind.GONE if before else Kind.NEW
    if before in _MET and after in _UNMET:
        return Kind.BROKEN
    if before in _UNMET and after in _MET:
        return Kind.FIXED
    if {before, after} <= _MET | _UNMET:
        return Kind.CHANGED
    return None if before == after else Kind.NOT_COMPARABLE


def _same(one: str, other: str) -> bool:
    return _VARYING.sub("#", one) == _VARYING.sub("#", other)
