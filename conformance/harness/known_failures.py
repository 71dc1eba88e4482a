"""Known failures: what an implementer says of requirements that are failed, and until when.

An entry excuses the failures of one requirement, or with a fingerprint one failure of it. It
excuses nothing else: no error of the suite, nothing that was not seen.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .requirements import Requirement
from .verdicts import Verdict, worst

KINDS = frozenset({"bug", "wontfix", "spec-dispute"})
"""What a known failure can be."""

_FIELDS: Mapping[str, type] = {
    "id": str,
    "reason": str,
    "link": str,
    "expires": dt.date,
    "kind": str,
}
_OPTIONAL: Mapping[str, type] = {"fingerprint": str}

_FAILED = frozenset({Verdict.FAIL, Verdict.WARN})


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """A failure that the implementer of what is judged knows of."""

    id: str
    reason: str
    link: str
    expires: dt.date
    """The last day on which it excuses anything."""
    kind: str
    fingerprint: str = ""
    """Of the one failure that it excuses; empty: it excuses each of its requirement."""
    expired: bool = False
    """Whether that day was over when the manifest was read."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one test said of a requirement."""

    verdict: Verdict
    reason: str = ""
    fingerprint: str = ""
    """Of the failure; empty where it is none."""


def parse(entry: Any, requirements: Mapping[str, Requirement], today: dt.date) -> KnownFailure:
    """Return an entry of a manifest.

    Raises:
        ValueError: a field is missing, unknown, empty or of the wrong type, or names nothing.
    """
    known = {**_FIELDS, **_OPTIONAL}
    if not isinstance(entry, dict) or not set(_FIELDS) <= set(entry) <= set(known):
        raise ValueError(
            f"an entry has exactly the fields {', '.join(_FIELDS)}, and may have fingerprint"
        )
    for name, value in entry.items():
        # A date with a time is a date to Python.
        if not isinstance(value, known[name]) or isinstance(value, dt.datetime) or not value:
            raise ValueError(f"{entry['id']}: {name} is empty or of the wrong type")
    if not entry["reason"].strip():
        raise ValueError(f"{entry['id']}: reason is empty or of the wrong type")
    if entry["id"] not in requirements:
        raise ValueError(f"there is no requirement {entry['id']!r}")
    if entry["kind"] not in KINDS:
        raise ValueError(f"{entry['id']}: kind is one of {', '.join(sorted(KINDS))}")
    return KnownFailure(**entry, expired=entry["expires"] < today)


def check_distinct(entries: Sequence[KnownFailure]) -> None:
    """Make sure that no failure has two entries.

    Raises:
        ValueError: a requirement has two entries, and not each a fingerprint of its own.
    """
    seen: dict[str, list[str]] = {}
    for entry in entries:
        prints = seen.setdefault(entry.id, [])
        if prints and ("" in (entry.fingerprint, *prints) or entry.fingerprint in prints):
            raise ValueError(f"{entry.id} stands twice, without fingerprints that differ")
        prints.append(entry.fingerprint)


def excuse(entries: Collection[KnownFailure], name: str, fingerprint: str) -> KnownFailure | None:
    """Return the entry that excuses a failure of a requirement; None where nothing does."""
    return next(
        (
            entry
            for entry in entries
            if entry.id == name and not entry.expired and entry.fingerprint in ("", fingerprint)
        ),
        None,
    )


def weigh(seen: Sequence[Seen], entries: Collection[KnownFailure], name: str) -> Seen:
    """Return what is said of a requirement, and why, from what its tests saw and what is listed.

    Args:
        seen: by each test that ran; not empty.
        entries: all known failures of the implementation.
        name: ID of the requirement.
    """
    listed = [entry for entry in entries if entry.id == name]
    if not listed:
        return _worst(seen)
    told = _worst([_excused(one, listed) for one in seen])
    unseen = next((entry for entry in listed if not _occurs(entry, seen)), None)
    decided = all(one.verdict in (*_FAILED, Verdict.PASS) for one in seen)
    if not told.verdict.red and unseen is not None and decided:
        return Seen(Verdict.STALE_KNOWN_FAILURE, _stale(unseen, seen))
    return told


def _worst(seen: Sequence[Seen]) -> Seen:
    final = worst(one.verdict for one in seen)
    return next(one for one in seen if one.verdict is final)


def _occurs(entry: KnownFailure, seen: Sequence[Seen]) -> bool:
    """Tell whether something failed that the entry is of."""
    return any(
        one.verdict in _FAILED and entry.fingerprint in ("", one.fingerprint) for one in seen
    )


def _excused(one: Seen, listed: Sequence[KnownFailure]) -> Seen:
    """Return what a test saw, in the light of the entries of its requirement."""
    if one.verdict not in _FAILED:
        return one
    if excuse(listed, listed[0].id, one.fingerprint) is not None:
        return Seen(Verdict.KNOWN_FAILURE, one.reason, one.fingerprint)
    # An entry is a promise, which a SHOULD had not asked for: broken it is red as a MUST's is.
    late = next((entry for entry in listed if entry.fingerprint in ("", one.fingerprint)), None)
    if late is not None:
        why = f"its known failure expired on {late.expires}"
    else:
        others = " or ".join(entry.fingerprint for entry in listed)
        why = f"not the known failure {others}, but {one.fingerprint}"
    return Seen(Verdict.FAIL, f"{why}: {one.reason}", one.fingerprint)


def _stale(entry: KnownFailure, seen: Sequence[Seen]) -> str:
    mark = f" {entry.fingerprint}" if entry.fingerprint else ""
    until = f", expired on {entry.expires}" if entry.expired else ""
    fails = any(one.verdict in _FAILED for one in seen)
    now = "was not seen any more" if fails else "passes"
    return f"listed as a known failure{mark}{until} ({entry.reason}), and {now}"
