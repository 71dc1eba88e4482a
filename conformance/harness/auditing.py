"""Audit records as whole values, in which what differs from run to run stands as a word."""

from collections.abc import Callable, Mapping
from typing import Any

from .addresses import HOST
from .logs import Record, records, rfc3339
from .processes import Process

REFUSALS = frozenset({"authentication_refused", "permission_refused", "rate_limited"})
CHANGES = frozenset({"did_created", "did_updated", "did_deleted"})

_ALWAYS = ("message", "event", "time", "peer", "method", "subject", "request_id")
"""What every record has (CONFORMANCE.md, "Audit")."""

_PEERS = {"unix": "of this host", "tcp": f"at {HOST}"}


def refusals(process: Process) -> list[dict[str, Any]]:
    """Return the records of refused calls so far, each as `refusal` gives it."""
    return _told(process, REFUSALS, "reason")


def changes(process: Process) -> list[dict[str, Any]]:
    """Return the records of changed DIDs so far, each as `change` gives it."""
    return _told(process, CHANGES, "did")


def refusal(event: str, *, transport: str, **fields: str) -> dict[str, Any]:
    """Return the right record of a refused call that came over a transport."""
    return {**_right(event, transport), "reason": "given", **fields}


def change(event: str, *, transport: str, **fields: str) -> dict[str, Any]:
    """Return the right record of a changed DID, as a call over a transport changed it."""
    return {**_right(event, transport), **fields}


def _right(event: str, transport: str) -> dict[str, str]:
    return {"message": "audit", "event": event, "time": "RFC 3339", "peer": _PEERS[transport]}


def _told(process: Process, events: frozenset[str], *more: str) -> list[dict[str, Any]]:
    return [
        {name: _in_a_word(name, record) for name in (*_ALWAYS, *more)}
        for record in records(process)
        if record.get("event") in events
    ]


def _in_a_word(name: str, record: Record) -> Any:
    value = record.get(name, "(missing)")
    return _WORDS[name](value) if name in _WORDS and isinstance(value, str) else value


def _time(value: str) -> str:
    return value if rfc3339(value) is None else "RFC 3339"


def _peer(value: str) -> str:
    """Say whom it names: each library writes it in a way of its own."""
    if value == "(missing)":
        return value
    return _PEERS["tcp" if HOST in value else "unix"]


def _reason(value: str) -> str:
    return "given" if value.strip() and value != "(missing)" else value


_WORDS: Mapping[str, Callable[[str], str]] = {"time": _time, "peer": _peer, "reason": _reason}
