"""The stock way: an interceptor a purpose, each as its library's documentation has it.

What a service gets whose authors take what there is and stack it up: the arm beside which the
pipeline of the reference is measured.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
import jwt
import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reference.config.auth import Auth

Behaviour = Callable[[Any, Any], Awaitable[Any]]


class _Around(grpc.aio.ServerInterceptor):
    """Does something around each unary call."""

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """Put `around` in the place of the handler's behaviour."""
        handler = await continuation(details)

        async def behaviour(request: Any, context: Any) -> Any:
            return await self.around(handler.unary_unary, request, context, details)

        return grpc.unary_unary_rpc_method_handler(
            behaviour, handler.request_deserializer, handler.response_serializer
        )

    async def around(self, inner: Behaviour, request: Any, context: Any, details: Any) -> Any:
        """Call the handler, with whatever comes before and after it."""
        raise NotImplementedError


class Authentication(_Around):
    """PyJWT verifies the token of every call."""

    def __init__(self, auth: Auth, keys: dict[str, Any]) -> None:
        """Trust these keys, by ID."""
        self._auth = auth
        self._keys = keys

    async def around(self, inner: Behaviour, request: Any, context: Any, details: Any) -> Any:
        """Verify, and hold the role against the method."""
        metadata = dict(details.invocation_metadata)
        token = metadata["authorization"].removeprefix("Bearer ")
        claims = jwt.decode(
            token,
            self._keys[jwt.get_unverified_header(token)["kid"]],
            algorithms=["EdDSA"],
            issuer=self._auth.issuer,
            audience=self._auth.audience,
        )
        if claims["role"] != "caller":
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "insufficient permissions")
        return await inner(request, context)


class RateLimit(_Around):
    """A token bucket."""

    RATE = 1e6
    """Calls a second: none is refused."""

    def __init__(self) -> None:
        """Start full."""
        self._left, self._seen = self.RATE, time.monotonic()

    async def around(self, inner: Behaviour, request: Any, context: Any, _details: Any) -> Any:
        """Take one."""
        now = time.monotonic()
        self._left = min(self.RATE, self._left + (now - self._seen) * self.RATE) - 1
        self._seen = now
        if self._left < 0:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls")
        return await inner(request, context)


class Metrics(_Around):
    """prometheus-client's metrics, found by their labels for each call."""

    def __init__(self) -> None:
        """Register them."""
        registry, labels = CollectorRegistry(), ("service", "method")
        self._total = Counter("rpc_total", "Calls", (*labels, "status"), registry=registry)
        self._seconds = Histogram("rpc_seconds", "Durations", labels, registry=registry)
        self._running = Gauge("rpc_in_flight", "Running calls", labels, registry=registry)

    async def around(self, inner: Behaviour, request: Any, context: Any, details: Any) -> Any:
        """Count and measure."""
        _, service, method = details.method.split("/")
        status = "error"
        with (
            self._running.labels(service, method).track_inprogress(),
            self._seconds.labels(service, method).time(),
        ):
            try:
                answer = await inner(request, context)
                status = "success"
            finally:
                self._total.labels(service, method, status).inc()
        return answer


class Log(_Around):
    """structlog's JSON, one line a call, with its own processors."""

    def __init__(self, file: Any) -> None:
        """Write to a file."""
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(file),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.JSONRenderer(),
            ],
        )

    async def around(self, inner: Behaviour, request: Any, context: Any, details: Any) -> Any:
        """Write a line once the call is over."""
        began = time.monotonic()
        try:
            return await inner(request, context)
        finally:
            elapsed = time.monotonic() - began
            self._log.info("call", method=details.method, code="OK", duration=elapsed)


def stock_server(auth: Auth, keys: dict[str, Any], endpoint: str, log: Any) -> Any:
    """Return a server with everything that the pipeline has, each by an interceptor of its own.

    Args:
        auth: what tokens are held against.
        keys: public ones, by ID.
        endpoint: `host:port` of the collector of traces.
        log: file that takes the lines.
    """
    provider = TracerProvider()
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True))
    )
    tracing: Any = aio_server_interceptor
    stages: Sequence[Any] = (
        tracing(tracer_provider=provider),
        Metrics(),
        Log(log),
        Authentication(auth, keys),
        RateLimit(),
    )
    return grpc.aio.server(interceptors=stages)
