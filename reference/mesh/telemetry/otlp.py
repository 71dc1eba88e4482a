"""Spans on their way to the collector (document: InitTracing; TRC-1, TRC-7, TRC-8).

The batches and their export are OpenTelemetry's own; what a span becomes is not: its way from a
call to the message takes that library ten times as long, of the one thread that runs Python.
What waits is bounded, and what finds no room is dropped and counted: a collector that is slow, gone
or was never there costs no call anything.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from ...config.telemetry import Traces
from .drops import DropCounter
from .tracing import OK, Span, Tracer

WAITING = 4096
"""Spans that wait for the collector at most."""

BATCH = 128
"""Groups of spans that are exported together at most: those of calls that were told of at once."""

DELAY = 200
"""Milliseconds between two batches that are not full."""

KNOWN = 1024
"""Methods of which is remembered what their spans have in common: callers make names up."""

SCOPE = "blackhole.mesh"


class _Waiting:
    """Spans that wait: one, as the batch processor sees it, which takes its time for each."""

    __slots__ = ("spans",)

    context = SimpleNamespace(trace_flags=SimpleNamespace(sampled=True))

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans


class Exporter(OTLPSpanExporter):
    """Exports what is known of calls."""

    def __init__(self, name: str, **how: Any) -> None:
        """Export as service `name`; the rest is OTLPSpanExporter's."""
        super().__init__(**how)
        self._name = name

    def _translate_data(self, data: Sequence[Any]) -> ExportTraceServiceRequest:
        """Return the message of a batch; the library calls this."""
        request = ExportTraceServiceRequest()
        found = request.resource_spans.add()
        found.resource.attributes.append(_pair("service.name", self._name))
        scope = found.scope_spans.add()
        scope.scope.name = SCOPE
        for group in data:
            for span in group.spans:
                add_to(scope.spans, span)
        return request


def add_to(spans: Any, span: Span) -> None:
    """Add a span to those of a message."""
    made = spans.add()
    made.MergeFrom(_alike(span.method, span.code, server=span.server))
    made.trace_id = bytes.fromhex(span.trace_id)
    made.span_id = bytes.fromhex(span.span_id)
    made.parent_span_id = bytes.fromhex(span.parent_id)
    made.trace_state = span.state
    made.start_time_unix_nano = span.began
    made.end_time_unix_nano = span.ended


@lru_cache(KNOWN)
def _alike(method: str, code: str, *, server: bool) -> trace_pb2.Span:
    """Return what the spans of a method that ended alike have in common."""
    name = method.removeprefix("/")
    service, _, last = name.rpartition("/")
    kind = trace_pb2.Span.SPAN_KIND_SERVER if server else trace_pb2.Span.SPAN_KIND_CLIENT
    number = AnyValue(int_value=grpc.StatusCode[code].value[0])
    span = trace_pb2.Span(
        name=name,
        kind=kind,
        flags=1,  # sampled
        attributes=[
            _pair("rpc.system", "grpc"),
            _pair("rpc.service", service),
            _pair("rpc.method", last),
            KeyValue(key="rpc.grpc.status_code", value=number),
        ],
    )
    if code != OK:
        span.status.code = trace_pb2.Status.STATUS_CODE_ERROR
        span.status.message = code
    return span


def _pair(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


class _Counted(SpanExporter):
    """Counts what waits no longer."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._over = False
        self.taken = 0

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Export a batch of groups; called on the thread of the batches."""
        try:
            return self._exporter.export(spans)
        finally:
            self.taken += sum(len(group.spans) for group in spans)

    def shutdown(self) -> None:
        """Give up what is under way."""
        if not self._over:
            self._over = True
            self._exporter.shutdown()


class Export:
    """Takes spans from the hot path, and lets them go to the collector."""

    def __init__(self, exporter: SpanExporter) -> None:
        """Start the thread of the batches."""
        self._exporter = _Counted(exporter)
        self._drops = DropCounter("blackhole_spans_dropped_total", "spans were dropped")
        self._given = 0
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=2 * WAITING,
            schedule_delay_millis=DELAY,
            max_export_batch_size=BATCH,
        )

    def __call__(self, spans: Sequence[Span]) -> None:
        """Take spans, as many as there is room for."""
        room = WAITING - (self._given - self._exporter.taken)
        if len(spans) > room:
            self._drops.add(len(spans) - room)
            spans = spans[:room]
        if spans:
            self._given += len(spans)
            waiting: Any = _Waiting(spans)
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
    export = Export(Exporter(name, endpoint=endpoint, insecure=True, timeout=traces.flush_timeout))
    try:
        yield Tracer(export, traces.ratio)
    finally:
        await export.close(traces.flush_timeout)
