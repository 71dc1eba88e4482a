"""The log of a process as its readers take it: JSON objects, one a line, on standard error."""

import json
from collections.abc import Mapping
from typing import Any

from .bounds import PROMPT, until
from .processes import Process

Record = Mapping[str, Any]


def records(process: Process) -> list[Record]:
    """Return every whole line of the log so far that is a JSON object."""
    whole, _, _ = process.stderr.rpartition("\n")
    return [found for line in whole.splitlines() if (found := _object(line)) is not None]


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
