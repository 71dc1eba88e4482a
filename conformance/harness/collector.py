"""A collector of traces: what a service exports by OTLP/gRPC arrives here."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.trace.v1 import trace_pb2

from .addresses import HOST, ReservedPort
from .bounds import until
from .judging import attach, did, expect

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

EXPORTED = 6.0
"""Seconds in which a span must have left: batches of OpenTelemetry wait for 5 s by default."""

SERVER, CLIENT = trace_pb2.Span.SPAN_KIND_SERVER, trace_pb2.Span.SPAN_KIND_CLIENT
ERROR = trace_pb2.Status.STATUS_CODE_ERROR


@dataclass(frozen=True, slots=True)
class Span:
    """One span that arrived."""

    service: str
    """`service.name` of its resource."""
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    """Empty where it has none."""
    state: str
    began: float
    """Seconds since 1970."""
    ended: float
    failed: bool
    """Whether its status is an error."""
    attributes: Mapping[str, Any]

    @property
    def method(self) -> str:
        """The last part of its name: the method that was called."""
        return self.name.rpartition("/")[2]


class Collector:
    """Listens at a port of 127.0.0.1, and keeps what arrives. Use as a context manager."""

    def __init__(self) -> None:
        """Reserve a port; nobody listens there yet."""
        self._port = ReservedPort()
        self._server: Any = None
        self._open = asyncio.Event()
        self._open.set()
        self.spans: list[Span] = []
        """All that arrived, in the order in which they did."""
        self.exports = 0
        """Calls of Export."""

    def __repr__(self) -> str:
        """Show what arrived."""
        return f"Collector({self.endpoint}, {len(self.spans)} spans)"

    @property
    def endpoint(self) -> str:
        """Where it listens, as the configuration has it."""
        return f"{HOST}:{self._port.number}"

    def settings(self, **telemetry: Any) -> dict[str, Any]:
        """Return settings with which processes export their spans to it."""
        return {"telemetry": {"otlp_endpoint": self.endpoint, **telemetry}}

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.listen()
        attach("spans.txt", self.story)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, and give the port back."""
        await self.leave()
        self._port.close()

    async def listen(self) -> None:
        """Listen, where it does not."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        export: Any = grpc.unary_unary_rpc_method_handler(self._export)
        handlers = {EXPORT.rpartition("/")[2]: export}
        service = EXPORT.split("/")[1]
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        server.add_insecure_port(self.endpoint)
        await server.start()
        self._server = server
        did(f"a collector listens at {self.endpoint}")

    async def leave(self) -> None:
        """Stop listening; calls of Export that hang are cut off."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
            did("the collector has left")

    def hang(self) -> None:
        """Answer no call of Export from now on."""
        did("the collector answers nobody any more")
        self._open.clear()

    def of_trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace that have arrived."""
        return [span for span in self.spans if span.trace_id == trace_id]

    async def arrived(self, trace_id: str, count: int = 1) -> list[Span]:
        """Wait until so many spans of a trace have arrived, and return them.

        Raises:
            NonConformance: fewer have within the bound.
        """
        await until(
            lambda: len(self.of_trace(trace_id)) >= count,
            bound=EXPORTED,
            what=f"{count} spans of trace {trace_id} at the collector",
            every=0.02,
            seen=self.story,
        )
        return self.of_trace(trace_id)

    async def only(self, trace_id: str) -> Span:
        """Wait until the one span of a trace has arrived, and return it.

        Raises:
            NonConformance: none has within the bound, or several.
        """
        spans = await self.arrived(trace_id)
        expect(len(spans), equals=1, what=f"spans of trace {trace_id}")
        return spans[0]

    def story(self) -> str:
        """Return what arrived, a line a span."""
        return "\n".join(map(repr, self.spans)) or "no span arrived"

    async def _export(self, raw: bytes, _context: Any) -> bytes:
        self.exports += 1
        await self._open.wait()
        for resource in pb.ExportTraceServiceRequest.FromString(raw).resource_spans:
            service = str(_attributes(resource.resource.attributes).get("service.name", ""))
            for scope in resource.scope_spans:
                self.spans += [_span(service, span) for span in scope.spans]
        return pb.ExportTraceServiceResponse().SerializeToString()


@dataclass(frozen=True, slots=True)
class Caller:
    """A span of the suite's, which a call continues."""

    trace_id: str
    span_id: str

    @classmethod
    def new(cls) -> Self:
        """Begin a trace."""
        return cls(token_hex(16), token_hex(8))

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """What its calls carry."""
        return [("traceparent", f"00-{self.trace_id}-{self.span_id}-01")]


def drawn(spans: list[Span], parent_id: str, depth: int = 0) -> str:
    """Return a trace as a tree, a line a span, with milliseconds from its start."""
    first = min(span.began for span in spans)
    lines = []
    for span in sorted(spans, key=lambda span: span.began):
        if span.parent_id == parent_id:
            begin, end = ((moment - first) * 1000 for moment in (span.began, span.ended))
            told = f"{'  ' * depth}{span.service} {side(span)} {span.method}"
            lines.append(f"{told:50} {begin:8.2f} ms {end:8.2f} ms")
            if below := drawn(spans, span.span_id, depth + 1):
                lines.append(below)
    return "\n".join(lines)


def side(span: Span) -> str:
    """Return in a word which side of a call a span is."""
    if span.kind not in (SERVER, CLIENT):
        return f"kind {span.kind}"
    return "answers" if span.kind == SERVER else "calls"


def _span(service: str, span: Any) -> Span:
    return Span(
        service=service,
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        state=span.trace_state,
        began=span.start_time_unix_nano / 1e9,
        ended=span.end_time_unix_nano / 1e9,
        failed=span.status.code == ERROR,
        attributes=_attributes(span.attributes),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
