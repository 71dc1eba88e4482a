"""The log: JSON lines on standard error, which nobody has to read.

A line is put into a bounded queue and written by a thread of its own, so that
a full pipe stops that thread and nothing else (PROC-9). Lines that find the
queue full are counted, and the count is told as soon as there is room.
"""

import json
import logging as stdlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from .tracing import current_trace

# The renderer for people, which no log of ours uses, imports `rich` where that is installed: a
# quarter of a process's start.
_MODULES: dict[str, Any] = sys.modules
_HIDDEN = _MODULES.setdefault("rich", None) is None
import orjson  # noqa: E402
import structlog  # noqa: E402

if _HIDDEN:
    del _MODULES["rich"]

CAPACITY = 10_000
"""Lines that wait for a slow reader at most: the calls of a second, or 2 MB."""

GATHER = 0.01
"""Seconds in which lines gather that are written together: for each alone the thread that writes
them would be woken, which takes a third of a call."""

Line = str | Callable[[], str]
"""A line, or what makes it."""

FLUSH = 0.2
"""Seconds that the last lines may take to leave at the end."""


class LineWriter:
    """Writes lines to a descriptor in the background, and never makes the caller wait."""

    def __init__(self, descriptor: int) -> None:
        """Start the thread that writes to `descriptor`."""
        self._descriptor = descriptor
        self._lines: deque[Line] = deque()
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

    def msg(self, message: Line) -> None:
        """Take a line, or what makes it when its turn comes; structlog calls this."""
        if len(self._lines) >= CAPACITY:
            self._dropped += 1
            return
        self._lines.append(message)
        # Waking the thread costs a call more than all else that its line does.
        if not self._wanted.is_set():
            self._wanted.set()

    debug = info = warning = error = msg

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
                lines.append(_line(time.time(), "warning", f"{dropped} lines were dropped", {}))
            with suppress(OSError):  # Nobody is there to be told.
                write_all(self._descriptor, "".join(map(made, lines)).encode(errors="replace"))
            self._writing = False

    def _taken(self) -> list[Line]:
        """Return all lines that wait."""
        lines: list[Line] = []
        with suppress(IndexError):
            while True:
                lines.append(self._lines.popleft())
        return lines


def made(line: Line) -> str:
    """Return a line as it is written; one that cannot be made must not end the log."""
    try:
        return f"{line if isinstance(line, str) else line()}\n"
    except Exception as error:  # noqa: BLE001 - see above
        told = {"error": repr(error)}
        return f"{_line(time.time(), 'error', 'a line could not be made', told)}\n"


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data, in as many calls as it takes."""
    while data:
        data = data[os.write(descriptor, data) :]


def claim_standard_streams() -> None:
    """Open whatever is closed of descriptors 0 to 2.

    Otherwise the next file or socket that is opened gets one of those numbers,
    and whatever prints to "standard error" prints into a database.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


_writer: LineWriter | None = None
_service = ""


def configure(*, service: str = "", level: str = "info") -> None:
    """Set up the log of this process.

    Args:
        service: name that every line bears.
        level: least level that is written: debug, info, warning or error.
    """
    global _writer, _service  # noqa: PLW0603 - a process has one standard error
    _service = service
    if _writer is None:
        _writer = LineWriter(2)
        stdlib.getLogger().addHandler(_libraries)
        withhold_metadata()
    _libraries.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _with_trace,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            # A field of its own name is written as `_event`: structlog's word for the message.
            structlog.processors.EventRenamer("message", replace_by="_event"),
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _writer,
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)


def _with_trace(_logger: Any, _method: str, fields: Any) -> Any:
    """Let what is logged for a traced call's sake bear its trace (LOG-5); structlog calls this."""
    if trace_id := current_trace():
        fields["trace_id"] = trace_id
    return fields


class Libraries(stdlib.Handler):
    """Writes what libraries log into the log of this process: every line of it is JSON (LOG-1)."""

    def emit(self, record: stdlib.LogRecord) -> None:
        """Write one record."""
        level = "error" if record.levelno >= stdlib.ERROR else "warning"
        fields = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = repr(record.exc_info[1])
        later(level, record.getMessage(), fields)


_libraries = Libraries()


def withhold_metadata() -> None:
    """Keep gRPC from logging the metadata that it cannot decode: it may be a token (AUD-2)."""
    stdlib.getLogger("grpc._cython.cygrpc").addFilter(_holds_no_metadata)


def _holds_no_metadata(record: stdlib.LogRecord) -> bool:
    return not str(record.msg).startswith("Invalid encoding on")


def logger() -> Any:
    """Return the logger of this process."""
    return structlog.get_logger()


def later(level: str, message: str, fields: Mapping[str, Any]) -> None:
    """Log what is said often: its line is made by the thread that writes it.

    Args:
        level: at which it is; whoever calls knows that it is written.
        message: what happened.
        fields: what belongs to it, which nobody changes any more.
    """
    if _writer is None:
        getattr(logger(), level)(message, **fields)
    else:
        _writer.msg(partial(_line, time.time(), level, message, fields))


def _line(when: float, level: str, message: str, fields: Mapping[str, Any]) -> str:
    """Return a line as structlog would make it, only sooner."""
    told = datetime.fromtimestamp(when, UTC).isoformat(timespec="microseconds")
    rest = {"service": _service, "level": level, "time": told.replace("+00:00", "Z")}
    line = {**fields, **rest, "message": message}
    with suppress(orjson.JSONEncodeError):  # Half a character, say, which can be escaped alone.
        # What is no ASCII is escaped, so that nothing ends a line but its end (LOG-6).
        if (data := orjson.dumps(line)).isascii():
            return data.decode()
    return json.dumps(line)


def unfiltered() -> Any:
    """Return the logger of this process for what is written whatever its least level is."""
    return structlog.wrap_logger(None, wrapper_class=_every_level)


_every_level = structlog.make_filtering_bound_logger("debug")


def flush() -> None:
    """Give the last lines a moment to leave."""
    if _writer is not None:
        _writer.flush()
