"""DriverServicer: does what the suite asks for, through the real mesh client."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, status_pb2

from blackhole.conformance.v1 import driver_pb2 as pb
from blackhole.conformance.v1 import driver_pb2_grpc, probe_pb2

from ..config.client import Batch
from ..mesh.batcher import Batcher, BatcherClosedError
from ..mesh.calls import Metadata
from ..mesh.client import ServiceClient
from ..mesh.dialling import Method
from ..mesh.discovery import ProcessDiscovery
from ..mesh.errors import DETAILS, FailedPreconditionError
from ..mesh.outgoing import CallError, Response, ResponseStream
from ..mesh.pool import ConnectionPool
from ..mesh.registry import EndpointState, ServiceEndpoint, ServiceRegistry
from .probe import BATCH, asked

UNLIMITED = 1 << 30
"""Flushes in flight at most: a full batch waits for no other (BAT-1)."""

STATES = {
    EndpointState.UNSPECIFIED: pb.ENDPOINT_STATE_UNSPECIFIED,
    EndpointState.HEALTHY: pb.ENDPOINT_STATE_HEALTHY,
    EndpointState.UNHEALTHY: pb.ENDPOINT_STATE_UNHEALTHY,
}


class DriverServicer(driver_pb2_grpc.DriverServicer):
    """The suite's hand on the mesh client.

    Args:
        batch: how items are batched; the wait in seconds.
        client: makes the calls.
        discovery: resolves.
        registry: is watched.
        pool: is reported.
    """

    def __init__(
        self,
        batch: Batch,
        client: ServiceClient,
        discovery: ProcessDiscovery,
        registry: ServiceRegistry,
        pool: ConnectionPool,
    ) -> None:
        """Start without any batcher."""
        self._batch = batch
        self._client = client
        self._discovery = discovery
        self._registry = registry
        self._pool = pool
        self._batchers: dict[str, Batcher[bytes, bytes]] = {}
        self._watches: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def Call(self, request: pb.CallRequest, context: Any) -> pb.CallResponse:  # noqa: N802
        """Make one call of Probe, and tell how it ended."""
        del context
        method, messages = asked(request)
        self._refuse_when_closed()
        response, started = pb.CallResponse(), time.monotonic()
        try:
            async with asyncio.timeout(_given(request, "cancel_after")):
                await self._make(request, method, messages, response)
        except CallError as error:
            response.status.CopyFrom(status(error))
            response.initial_metadata.extend(_entries(error.initial))
            response.trailing_metadata.extend(_entries(error.trailing))
        except TimeoutError:
            response.status.code = code_pb2.CANCELLED
            response.status.message = "cancelled by its caller"
        response.elapsed.FromNanoseconds(round((time.monotonic() - started) * 1e9))
        return response

    async def _make(
        self,
        request: pb.CallRequest,
        method: Method,
        messages: Sequence[Any],
        response: pb.CallResponse,
    ) -> None:
        """Make the call that is asked for; what comes goes into `response`."""
        how: dict[str, Any] = {
            "version": request.version,
            "timeout": _given(request, "timeout"),
            "metadata": [_entry(entry) for entry in request.metadata],
        }
        answered: Response | ResponseStream
        if method.response_streaming:
            answered = self._client.stream(request.service, method, *messages, **how)
            async for message in answered:
                response.payloads.append(message.payload)
        else:
            answered = await self._client.call(request.service, method, *messages, **how)
            response.payloads.append(answered.message.payload)
        response.initial_metadata.extend(_entries(await answered.initial()))
        response.trailing_metadata.extend(_entries(await answered.trailing()))

    async def Resolve(  # noqa: N802
        self, request: pb.ResolveRequest, context: Any
    ) -> pb.ResolveResponse:
        """Ask discovery."""
        del context
        found = await self._discovery.discover(request.service, request.version)
        return pb.ResolveResponse(address=found.address, version=found.version)

    async def Watch(  # noqa: N802
        self, request: pb.WatchRequest, context: Any
    ) -> AsyncIterator[pb.WatchResponse]:
        """Follow the registry until the caller leaves, or this process."""
        del request, context
        async for endpoints in self._registry.changes():
            yield pb.WatchResponse(endpoints=[_endpoint(each) for each in endpoints])

    async def Submit(self, request: pb.SubmitRequest, context: Any) -> pb.SubmitResponse:  # noqa: N802
        """Add an item to a batcher, and wait for its result."""
        del context
        self._refuse_when_closed()
        if (batcher := self._batchers.get(request.service)) is None:
            batcher = self._batchers[request.service] = self._batcher(request.service)
        try:
            return pb.SubmitResponse(result=await batcher.submit(request.item))
        except CallError as error:
            return pb.SubmitResponse(status=status(error))
        except BatcherClosedError:
            raise FailedPreconditionError("the client is closed") from None

    async def Report(self, request: pb.ReportRequest, context: Any) -> pb.ReportResponse:  # noqa: N802
        """Tell what the client sees."""
        del request, context
        return pb.ReportResponse(
            pool=[
                pb.PoolEntry(service=address, connections=connections, idle_connections=idle)
                for address, (connections, idle) in sorted(self._pool.counts().items())
            ],
            circuits={name: breaker.state.value for name, breaker in self._client.breakers.items()},
        )

    async def Close(self, request: pb.CloseRequest, context: Any) -> pb.CloseResponse:  # noqa: N802
        """Flush and close."""
        del request, context
        await self.close()
        return pb.CloseResponse()

    async def close(self) -> None:
        """Flush the batchers, then close the client (BAT-6, POOL-10)."""
        self._closed = True
        await asyncio.gather(*(batcher.close() for batcher in self._batchers.values()))
        await self._client.close()

    def drain(self) -> None:
        """End every watch: the registry ends its followers."""
        self._registry.release()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise FailedPreconditionError("the client is closed")

    def _batcher(self, service: str) -> Batcher[bytes, bytes]:
        async def flush(items: list[bytes]) -> Sequence[bytes]:
            answer = await self._client.call(service, BATCH, probe_pb2.BatchRequest(items=items))
            results: Sequence[bytes] = answer.message.results
            if len(results) != len(items):
                raise CallError(
                    "INTERNAL", f"{len(results)} results came back for {len(items)} items"
                )
            return results

        return Batcher(
            flush,
            max_size=self._batch.max_size,
            max_wait=self._batch.max_wait,
            max_in_flight=UNLIMITED,
        )


def status(error: CallError) -> status_pb2.Status:
    """Return google.rpc.Status of a failed call, with the details that came with it."""
    found = status_pb2.Status()
    for name, value in error.trailing:
        if name == DETAILS and isinstance(value, bytes):
            found.ParseFromString(value)
    found.code = code_pb2.Code.Value(error.code)
    found.message = error.message
    return found


def _given(request: pb.CallRequest, field: str) -> float | None:
    """Return a duration in seconds; None when it is left out."""
    if not request.HasField(field):  # type: ignore[arg-type]
        return None
    return float(getattr(request, field).ToNanoseconds() / 1e9)


def _entry(entry: pb.MetadataEntry) -> tuple[str, str | bytes]:
    return entry.key, entry.value if entry.key.endswith("-bin") else entry.value.decode("latin-1")


def _entries(metadata: Metadata) -> Iterable[pb.MetadataEntry]:
    for name, value in metadata:
        raw = value if isinstance(value, bytes) else value.encode("latin-1")
        yield pb.MetadataEntry(key=name, value=raw)


def _endpoint(found: ServiceEndpoint) -> pb.Endpoint:
    endpoint = pb.Endpoint(
        name=found.name,
        version=found.version,
        socket_path=str(found.socket_path or ""),
        tcp_address=found.tcp_address,
        state=STATES[found.state],
        metadata=found.metadata,
        pid=found.pid,
    )
    if found.last_check is not None:
        last_check = Timestamp()
        last_check.FromNanoseconds(round(found.last_check * 1e9))
        endpoint.last_check.CopyFrom(last_check)
    return endpoint
