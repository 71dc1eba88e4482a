"""Stages of the pipeline that every server has: a limit on metadata, and the log of calls."""

import time
from collections.abc import Sequence
from typing import Any

from .calls import Authorization, Call
from .errors import ResourceExhaustedError
from .telemetry.logging import write_line
from .telemetry.tracing import OK, Tracer


class Stage:
    """One concern of every call; by itself it lets every call pass, and does nothing."""

    def admit(self, call: Call, authorization: Authorization) -> None:
        """Let the call pass, or raise a DomainError; nothing of its body was read yet."""

    def began(self, calls: Sequence[Call]) -> None:
        """Learn of calls that were answered from then on, or refused; their messages had come."""

    def done(self, calls: Sequence[Call]) -> None:
        """Learn how calls ended; not told of who left before the message had arrived."""


class MetadataLimit(Stage):
    """Refuses calls that bring too much metadata (ERR-5).

    gRPC has such a limit too, but applies it only once the caller has acknowledged
    the settings that announce it: the first call of a connection comes before that.

    Args:
        most: bytes, as `Call.metadata_size` counts them.
    """

    def __init__(self, most: int) -> None:
        """Remember the limit."""
        self._most = most

    def admit(self, call: Call, _authorization: Authorization) -> None:
        """Compare.

        Raises:
            ResourceExhaustedError: it is too much.
        """
        if (size := call.metadata_size) > self._most:
            raise ResourceExhaustedError(
                f"the metadata has {size} bytes, the limit is {self._most}"
            )


class Tracing(Stage):
    """Gives every call a span, and ends it with the call (TRC-1 to TRC-6).

    Args:
        tracer: of this process.
    """

    def __init__(self, tracer: Tracer) -> None:
        """Trace with this."""
        self._tracer = tracer

    def admit(self, call: Call, _authorization: Authorization) -> None:
        """Let it have one."""
        call.tracer = self._tracer

    def done(self, calls: Sequence[Call]) -> None:
        """End and export the spans."""
        spans = []
        for call in calls:
            if (span := call.span) is not None:
                span.end(call.code, call.ended)
                spans.append(span)
        self._tracer.export(spans)


class CallLog(Stage):
    """Logs every call once it has ended, those that failed at level error (LOG-2).

    Args:
        least: level that is written at least.
    """

    def __init__(self, least: str) -> None:
        """Know whether those that succeed are written at all."""
        self._every = least in ("debug", "info")

    def done(self, calls: Sequence[Call]) -> None:
        """Write a line of each, with the time of its end."""
        epoch = time.time_ns() - time.monotonic_ns()
        for call in calls:
            failed = call.code != OK
            if failed or self._every:
                fields: dict[str, Any] = {
                    "method": call.method,
                    "request_id": call.request_id,
                    "code": call.code,
                    "duration": (call.ended - call.started) / 1e9,
                }
                if (span := call.span) is not None:
                    fields["trace_id"] = span.trace_id
                write_line("error" if failed else "info", "call", fields, epoch + call.ended)
