"""The log of a process as its readers take it: JSON objects, one a line, on standard error."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .bounds import PROMPT, until
from .processes import Process

Record = Mapping[str, Any]

LEVELS = frozenset({"debug", "info", "warning", "error"})

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)
"""`date-time` of RFC 3339, 5.6."""


def records(process: Process) -> list[Record]:
    """Return every whole line of the log so far that is a JSON object."""
    whole, _, _ = process.stderr.rpartition("\n")
    return [found for line in whole.split("\n") if (found := _object(line)) is not None]


def faults(log: str) -> list[str]:
    """Return every whole line that is no JSON object."""
    whole, _, _ = log.rpartition("\n")
    return [line for line in whole.split("\n") if line and _object(line) is None]


def calls(process: Process) -> list[Record]:
    """Return the lines of calls that have ended, so far: those with `request_id` and `duration`."""
    return [line for line in records(process) if {"request_id", "duration"} <= line.keys()]


def written_at(record: Record) -> float | None:
    """Return when a line was written, in seconds since 1970; None: not as RFC 3339 has it."""
    told = record.get("time")
    return rfc3339(told) if isinstance(told, str) else None


def rfc3339(text: str) -> float | None:
    """Return the seconds since 1970 of a time; None where it is none of RFC 3339."""
    if not _TIME.fullmatch(text):
        return None
    try:
        # Not every reader takes more digits than those of microseconds.
        return datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", text.upper())).timestamp()
    except ValueError:
        return None


def audited(process: Process, request_id: str) -> list[Record]:
    """Return the audit records of one call so far."""
    return [
        record
        for record in records(process)
        if record.get("request_id") == request_id and record.get("event")
    ]


async def audit(process: Process, request_id: str, count: int = 1) -> list[Record]:
    """Wait until a call has left its audit records, and return them.

    Raises:
        NonConformance: there are fewer than `count` after a second.
    """
    found: list[Record] = await until(
        lambda: (seen := audited(process, request_id)) and len(seen) >= count and seen,
        bound=PROMPT,
        what=f"{count} audit records of the call {request_id}",
        every=0.02,
        seen=lambda: audited(process, request_id),
    )
    return found


def _object(line: str) -> Record | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
