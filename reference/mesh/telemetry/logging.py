"""The log: JSON lines on standard error, which nobody has to read."""

import logging as stdlib
import os
import sys
from typing import Any

from .lines import LineWriter, made
from .tracing import current_trace

# The renderer for people, which no log of ours uses, imports `rich` where that is installed: a
# quarter of a process's start.
_MODULES: dict[str, Any] = sys.modules
_HIDDEN = _MODULES.setdefault("rich", None) is None
import structlog  # noqa: E402

if _HIDDEN:
    del _MODULES["rich"]


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
        _writer = LineWriter(2, service)
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
        write_line(level, record.getMessage(), fields)


_libraries = Libraries()


def withhold_metadata() -> None:
    """Keep gRPC from logging the metadata that it cannot decode: it may be a token (AUD-2)."""
    stdlib.getLogger("grpc._cython.cygrpc").addFilter(_holds_no_metadata)


def _holds_no_metadata(record: stdlib.LogRecord) -> bool:
    return not str(record.msg).startswith("Invalid encoding on")


def logger() -> Any:
    """Return the logger of this process."""
    return structlog.get_logger()


def write_line(level: str, message: str, fields: dict[str, Any], at: int | None = None) -> None:
    """Log what is said often: structlog takes ten times as long.

    Args:
        level: at which it is; whoever calls knows that it is written.
        message: what happened.
        fields: what belongs to it; the line takes them over.
        at: when it happened, in nanoseconds since 1970; None: now.
    """
    if _writer is None:
        getattr(logger(), level)(message, **fields)
    else:
        _writer.put(made(level, message, _service, fields, at))


def unfiltered() -> Any:
    """Return the logger of this process for what is written whatever its least level is."""
    return structlog.wrap_logger(None, wrapper_class=_every_level)


_every_level = structlog.make_filtering_bound_logger("debug")


def flush() -> None:
    """Give the last lines a moment to leave."""
    if _writer is not None:
        _writer.flush()
