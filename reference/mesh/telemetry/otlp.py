"""Spans on their way to the collector (document: InitTracing; TRC-1, TRC-7, TRC-8).

The batches and their export are OpenTelemetry's own. What waits is bounded, and what finds no room
is dropped and counted: a collector that is slow, gone or was never there costs no call anything.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.span import TraceState
from opentelemetry.trace.status import Status, StatusCode

from ...config.telemetry import Traces
from .drops import DropCounter
from .tracing import OK, Span, Tracer

WAITING = 4096
"""Spans that wait for the collector at most."""

BATCH = 512
"""Spans that are exported together at most."""

DELAY = 200
"""Milliseconds between two batches that are not full."""

_SCOPE = InstrumentationScope("blackhole.mesh")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class _Waiting:
    """A span that waits, as the batch processor wants it."""

    __slots__ = ("span",)

    context = SimpleNamespace(trace_flags=SimpleNamespace(sampled=True))

    def __init__(self, span: Span) -> None:
        self.span = span


class Exporter(SpanExporter):
    """Makes spans of what is known of calls, and hands them on."""

    def __init__(self, name: str, exporter: SpanExporter) -> None:
        """Export as service `name`."""
        self._resource = Resource({SERVICE_NAME: name})
        self._exporter = exporter
        self.taken = 0
        """Spans that wait no longer."""
        self._over = False

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Export a batch; called on the thread of the batches."""
        try:
            return self._exporter.export([readable(one.span, self._resource) for one in spans])
        finally:
            self.taken += len(spans)

    def shutdown(self) -> None:
        """Give up what is under way."""
        if not self._over:
            self._over = True
            self._exporter.shutdown()


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """Return a span as OpenTelemetry has it."""
    service, _, method = span.method.removeprefix("/").rpartition("/")
    failed = span.code != OK
    return ReadableSpan(
        name=span.method.removeprefix("/"),
        context=_context(span, span.span_id),
        parent=_context(span, span.parent_id, remote=span.server) if span.parent_id else None,
        resource=resource,
        attributes={
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": method,
            "rpc.grpc.status_code": grpc.StatusCode[span.code].value[0],
        },
        kind=SpanKind.SERVER if span.server else SpanKind.CLIENT,
        instrumentation_scope=_SCOPE,
        status=Status(StatusCode.ERROR, span.code) if failed else Status(StatusCode.UNSET),
        start_time=span.began,
        end_time=span.ended,
    )


def _context(span: Span, span_id: str, *, remote: bool = False) -> SpanContext:
    state = TraceState.from_header([span.state]) if span.state else None
    return SpanContext(int(span.trace_id, 16), int(span_id, 16), remote, _SAMPLED, state)


class Export:
    """Takes spans from the hot path, and lets them go to the collector."""

    def __init__(self, name: str, exporter: SpanExporter) -> None:
        """Start the thread of the batches."""
        self._exporter = Exporter(name, exporter)
        self._drops = DropCounter("blackhole_spans_dropped_total", "spans were dropped")
        self._given = 0
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=2 * WAITING,
            schedule_delay_millis=DELAY,
            max_export_batch_size=BATCH,
        )

    def __call__(self, span: Span) -> None:
        """Take a span, if there is room for it."""
        if self._given - self._exporter.taken >= WAITING:
            self._drops.add()
            return
        self._given += 1
        waiting: Any = _Waiting(span)
        self._processor.on_end(waiting)

    async def close(self, timeout: float) -> None:
        """Export what waits, for so many seconds at most (TRC-7)."""
        loop = asyncio.get_running_loop()
        giving_up = loop.call_later(timeout, self._exporter.shutdown)
        await asyncio.to_thread(self._processor.shutdown)
        giving_up.cancel()
        self._drops.close()


@asynccontextmanager
async def exporting(name: str, traces: Traces) -> AsyncIterator[Tracer]:
    """Give a tracer whose spans go to the collector; in the end the last of them do."""
    endpoint = f"http://{traces.endpoint}"
    exporter = OTLPSpanExporter(endpoint, insecure=True, timeout=traces.flush_timeout)
    export = Export(name, exporter)
    try:
        yield Tracer(export, traces.ratio)
    finally:
        await export.close(traces.flush_timeout)
