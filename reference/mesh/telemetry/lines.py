"""Lines of the log: made where something happens, written by a thread that nobody waits for.

A line is put into a bounded queue, so that a full pipe stops that thread and nothing else (PROC-9).
Lines that find the queue full are counted, and the count is told as soon as there is room.
"""

import json
import os
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson

CAPACITY = 10_000
"""Lines that wait for a slow reader at most: the calls of a second, or 2 MB."""

GATHER = 0.01
"""Seconds in which lines gather that are written together: for each alone the thread that writes
them would be woken, which takes a third of a call."""

FLUSH = 0.2
"""Seconds that the last lines may take to leave at the end."""

SECOND = 10**9
"""Nanoseconds."""


class LineWriter:
    """Writes lines to a descriptor in the background, and never makes the caller wait.

    Args:
        descriptor: where to.
        service: whose log it is, in lines of its own.
    """

    def __init__(self, descriptor: int, service: str = "") -> None:
        """Start the thread that writes."""
        self._descriptor = descriptor
        self._service = service
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._wanted = threading.Event()
        """Set where a line waits that the thread does not know of."""
        self._hurried = threading.Event()
        """Set while somebody waits for the lines to leave."""
        self._writing = False
        """Whether some have been taken and not been written."""
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def __repr__(self) -> str:
        """Show how many lines wait, and how many were dropped."""
        return f"LineWriter(waiting={len(self._lines)}, dropped={self._dropped})"

    def msg(self, message: str) -> None:
        """Take a line without its end; structlog calls this."""
        self.put(f"{message}\n".encode(errors="replace"))

    debug = info = warning = error = msg

    def put(self, line: bytes) -> None:
        """Take a line, with its end."""
        if len(self._lines) >= CAPACITY:
            self._dropped += 1
            return
        self._lines.append(line)
        # Waking the thread costs a call more than all else that its line does.
        if not self._wanted.is_set():
            self._wanted.set()

    def flush(self, seconds: float = FLUSH) -> None:
        """Wait for the lines to leave, no longer than `seconds`."""
        end = time.monotonic() + seconds
        self._hurried.set()
        while self.waits and time.monotonic() < end:
            time.sleep(0.001)
        self._hurried.clear()

    @property
    def waits(self) -> bool:
        """Whether any line has not left."""
        return bool(self._lines) or self._writing

    def _write(self) -> None:
        while True:
            self._wanted.wait()
            self._hurried.wait(GATHER)
            self._wanted.clear()
            # Said before the first is taken: `waits` is never wrong.
            self._writing = True
            lines = self._taken()
            dropped, self._dropped = self._dropped, 0
            if dropped:
                lines.append(made("warning", f"{dropped} lines were dropped", self._service, {}))
            with suppress(OSError):  # Nobody is there to be told.
                write_all(self._descriptor, b"".join(lines))
            self._writing = False

    def _taken(self) -> list[bytes]:
        """Return all lines that wait."""
        lines: list[bytes] = []
        with suppress(IndexError):
            while True:
                lines.append(self._lines.popleft())
        return lines


class Stamp:
    """Tells the time as lines have it; what it said of a second it says of all that is within."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Know no second."""
        # One tuple, replaced whole: several threads write lines.
        self._known = (-1, "")

    def at(self, nanoseconds: int) -> str:
        """Return so many nanoseconds since 1970 as RFC 3339 has them, to the microsecond."""
        second, rest = divmod(nanoseconds, SECOND)
        known, text = self._known
        if known != second:
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._known = (second, text)
        return f"{text}.{rest // 1000:06d}Z"


_STAMP = Stamp()


def made(
    level: str, message: str, service: str, fields: dict[str, Any], at: int | None = None
) -> bytes:
    """Return a line as structlog would make it, only sooner, with its end.

    What cannot be made must not end whom it is about: that is told in its place.

    Args:
        level: debug, info, warning or error.
        message: what happened.
        service: whose log it is.
        fields: what belongs to it; the line takes them over, and changes them.
        at: when it happened, in nanoseconds since 1970; None: now.
    """
    fields["service"] = service
    fields["level"] = level
    fields["time"] = _STAMP.at(time.time_ns() if at is None else at)
    fields["message"] = message
    try:
        # What is no ASCII is escaped, so that nothing ends a line but its end (LOG-6).
        if (data := orjson.dumps(fields, None, orjson.OPT_APPEND_NEWLINE)).isascii():
            return data
    except orjson.JSONEncodeError:
        pass  # Half a character, say, which can be escaped alone.
    try:
        return f"{json.dumps(fields)}\n".encode()
    except (TypeError, ValueError) as error:
        return made("error", "a line could not be made", service, {"error": repr(error)})


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data, in as many calls as it takes."""
    while data:
        data = data[os.write(descriptor, data) :]
