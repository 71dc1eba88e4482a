"""The ServiceClient against a real gRPC server: deadlines, attempts, errors, streams, closing."""

import asyncio
import gc
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from blackhole.conformance.v1 import probe_pb2, probe_pb2_grpc
from reference.config.client import Client, load
from reference.driver.probe import _method
from reference.mesh.client import ServiceClient
from reference.mesh.dialling import Dialler, Method
from reference.mesh.errors import NotFoundError, UnavailableError
from reference.mesh.outgoing import CallError
from reference.mesh.pool import ConnectionPool

UNARY = _method("Unary")
SERVER_STREAM = _method("ServerStream")
CLIENT_STREAM = _method("ClientStream")
BIDI_STREAM = _method("BidiStream")

Script = Callable[[Any, int], Any]


@dataclass
class Probe(probe_pb2_grpc.ProbeServicer):
    """Does what it is told with each arrival, and keeps its metadata."""

    script: Script = lambda _context, _number: None
    arrivals: list[dict[str, Any]] = field(default_factory=list)
    raw: list[Any] = field(default_factory=list)
    """Their metadata as it came."""
    left: list[float] = field(default_factory=list)

    async def _arrived(self, context: Any) -> None:
        metadata = context.invocation_metadata()
        self.arrivals.append(dict(metadata))
        self.raw.append(tuple(metadata))
        self.left.append(context.time_remaining())
        if (done := self.script(context, len(self.arrivals))) is not None:
            await done

    async def Unary(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._arrived(context)
        return probe_pb2.UnaryResponse(payload=request.payload)

    async def ServerStream(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        if request.payload == b"late":
            yield probe_pb2.ServerStreamResponse(payload=b"first")
        await self._arrived(context)
        yield probe_pb2.ServerStreamResponse(payload=request.payload)

    async def ClientStream(self, requests: Any, context: Any) -> Any:  # noqa: N802
        payload = b"".join([request.payload async for request in requests])
        await self._arrived(context)
        return probe_pb2.ClientStreamResponse(payload=payload)

    async def Batch(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._arrived(context)
        return probe_pb2.BatchResponse(results=request.items)

    async def BidiStream(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self._arrived(context)
        async for request in requests:
            yield probe_pb2.BidiStreamResponse(payload=request.payload)


@dataclass
class Found:
    address: str


class Directory:
    """Discovery that knows one service, or fails as told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.revision = 0
        self.asked = 0
        self.error: Exception | None = None

    async def discover(self, name: str, version: str = "") -> Found:
        assert (name, version) == ("x", "")
        self.asked += 1
        if self.error:
            raise self.error
        return Found(self.address)


@dataclass
class Mesh:
    """A client, the server it calls, and what finds it."""

    client: ServiceClient
    probe: Probe
    directory: Directory
    pool: ConnectionPool
    settings: Client

    def with_settings(self, **changes: Any) -> ServiceClient:
        return ServiceClient(replace(self.settings, **changes), self.directory, self.pool)


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    directory = Path(tempfile.mkdtemp(prefix="bh"))
    (directory / "c.json").write_text(
        '{"retry": {"max_attempts": 3, "initial_backoff": "0.01s"}, "circuit": {"timeout": "2s"},'
        '"default_timeout": "7s", "compression": {"enabled": true}}'
    )
    settings = load(directory / "c.json").client
    server, probe = grpc.aio.server(), Probe()
    probe_pb2_grpc.add_ProbeServicer_to_server(probe, server)
    server.add_insecure_port(f"unix:{directory}/x.sock")
    await server.start()
    finder = Directory(f"unix://{directory}/x.sock")
    pool = ConnectionPool(settings.pool, Dialler(settings.pool, settings.max_message_bytes))
    client = ServiceClient(settings, finder, pool)
    yield Mesh(client, probe, finder, pool, settings)
    await client.close()
    await server.stop(None)
    shutil.rmtree(directory)


def _unavailable(until: int) -> Script:
    return lambda context, number: (
        context.abort(grpc.StatusCode.UNAVAILABLE, f"no {number}", (("why", "busy"),))
        if number < until
        else None
    )


def _sleep(_context: Any, _number: int) -> Any:
    return asyncio.sleep(9)


async def _call(client: ServiceClient, payload: bytes = b"a", **how: Any) -> Any:
    response = await client.call("x", UNARY, probe_pb2.UnaryRequest(payload=payload), **how)
    return response.message.payload


async def test_a_call_arrives_with_deadline_request_id_and_number(mesh: Mesh) -> None:
    assert await _call(mesh.client, metadata=(("k", "v"),)) == b"a"

    (arrival,) = mesh.probe.arrivals
    assert (arrival["k"], arrival["x-retry-attempt"]) == ("v", "1")
    assert uuid.UUID(arrival["x-request-id"]).version == 8
    assert 1 < mesh.probe.left[0] < 2.5  # gRPC rounds up


async def test_a_later_call_asks_discovery_only_after_a_change(mesh: Mesh) -> None:
    await _call(mesh.client)
    await _call(mesh.client)
    assert mesh.directory.asked == 1
    mesh.directory.revision += 1

    await _call(mesh.client)

    assert mesh.directory.asked == 2


async def test_attempts_share_a_request_id_and_count_up(mesh: Mesh) -> None:
    mesh.probe.script = _unavailable(3)

    assert await _call(mesh.client, metadata=(("x-request-id", "mine"),)) == b"a"

    seen = [(one["x-request-id"], one["x-retry-attempt"]) for one in mesh.probe.arrivals]
    assert seen == [("mine", "1"), ("mine", "2"), ("mine", "3")]


async def test_the_last_error_comes_back_as_it_was(mesh: Mesh) -> None:
    mesh.probe.script = _unavailable(9)

    with pytest.raises(CallError) as caught:
        await _call(mesh.client)

    assert (caught.value.code, caught.value.message) == ("UNAVAILABLE", "no 3")
    assert dict(caught.value.trailing)["why"] == "busy"
    assert len(mesh.probe.arrivals) == 3


async def test_the_callers_deadline_covers_all_attempts(mesh: Mesh) -> None:
    mesh.probe.script = _sleep

    with pytest.raises(CallError) as caught:
        await _call(mesh.client, timeout=0.1)

    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert len(mesh.probe.arrivals) == 1


@pytest.mark.parametrize(
    ("error", "code", "state"),
    [
        (NotFoundError("nobody"), "NOT_FOUND", "closed"),
        (UnavailableError("ill"), "UNAVAILABLE", "open"),
    ],
)
async def test_only_unavailable_of_discovery_counts_as_a_failure(
    mesh: Mesh, error: Exception, code: str, state: str
) -> None:
    client = mesh.with_settings(
        circuit=replace(mesh.settings.circuit, failure_threshold=1),
        retry=replace(mesh.settings.retry, max_attempts=1),
    )
    mesh.directory.error = error

    with pytest.raises(CallError) as caught:
        await _call(client)

    assert (caught.value.code, caught.value.message) == (code, str(error))
    assert client.breakers["x"].state.value == state


async def test_an_open_circuit_is_never_retried(mesh: Mesh) -> None:
    client = mesh.with_settings(circuit=replace(mesh.settings.circuit, failure_threshold=2))
    mesh.probe.script = _unavailable(99)

    with pytest.raises(CallError) as caught:
        await _call(client)

    assert (caught.value.message, len(mesh.probe.arrivals)) == ("circuit open", 2)


async def test_a_stream_that_gave_a_message_is_not_retried(mesh: Mesh) -> None:
    mesh.probe.script = _unavailable(99)
    request = probe_pb2.ServerStreamRequest(payload=b"late")
    seen = []

    with pytest.raises(CallError, match="no 1"):
        async for message in mesh.client.stream("x", SERVER_STREAM, request):
            seen.append(message.payload)  # noqa: PERF401 - what came before the error counts

    assert (seen, len(mesh.probe.arrivals)) == ([b"first"], 1)


async def test_streams_without_a_message_are_retried(mesh: Mesh) -> None:
    mesh.probe.script = _unavailable(2)
    requests = [probe_pb2.BidiStreamRequest(payload=each) for each in (b"a", b"b")]

    stream = mesh.client.stream("x", BIDI_STREAM, *requests)
    seen = [message.payload async for message in stream]

    assert (seen, len(mesh.probe.arrivals)) == ([b"a", b"b"], 2)
    assert await stream.initial() is not None
    assert await stream.trailing() == ()


async def test_a_stream_of_requests_has_one_answer(mesh: Mesh) -> None:
    requests = [probe_pb2.ClientStreamRequest(payload=each) for each in (b"a", b"b")]

    response = await mesh.client.call("x", CLIENT_STREAM, *requests)

    assert response.message.payload == b"ab"
    assert (await response.initial(), await response.trailing()) == ((), ())


async def test_a_caller_that_leaves_gives_everything_back(mesh: Mesh) -> None:
    mesh.probe.script = _sleep
    call = asyncio.create_task(_call(mesh.client))
    async with asyncio.timeout(5):
        while not mesh.probe.arrivals:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.002)

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert "in_flight=0" in repr(mesh.client.breakers["x"])
    assert list(mesh.pool.counts().values()) == [(1, 1)]


async def test_an_answer_that_cannot_be_read_is_internal(mesh: Mesh) -> None:
    method = replace(UNARY, deserialize=probe_pb2.UnaryRequest.FromString, path=UNARY.path)

    def broken(_: bytes) -> Any:
        raise ValueError("no")

    with pytest.raises(CallError) as caught:
        await mesh.client.call(
            "x", replace(method, deserialize=broken), probe_pb2.UnaryRequest(payload=b"a")
        )

    assert caught.value.code == "INTERNAL"


async def test_closing_ends_calls_and_lets_go_of_them(mesh: Mesh) -> None:
    mesh.probe.script = _sleep
    request = probe_pb2.ServerStreamRequest(payload=b"a")

    async def code(*, stream: bool) -> str:
        try:
            if stream:
                async for _ in mesh.client.stream("x", SERVER_STREAM, request):
                    pass
            else:
                await _call(mesh.client)
        except CallError as error:
            return error.code
        return "OK"

    calls = [asyncio.create_task(code(stream=stream)) for stream in (False, True)]
    async with asyncio.timeout(5):
        while len(mesh.probe.arrivals) < len(calls):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.002)
    gc.collect()
    gc.disable()
    try:
        await mesh.client.close()
        codes = await asyncio.gather(*calls)
        kept = [one for one in gc.get_objects() if isinstance(one, grpc.aio.Call)]
    finally:
        gc.enable()

    # Whoever holds a call holds its connection open.
    assert (codes, kept) == (["CANCELLED", "CANCELLED"], [])


async def test_a_closed_client_calls_nobody(mesh: Mesh) -> None:
    await mesh.client.close()

    with pytest.raises(CallError) as caught:
        await _call(mesh.client)

    assert (caught.value.code, caught.value.message) == (
        "FAILED_PRECONDITION",
        "the client is closed",
    )


async def test_nobody_at_the_address_is_unavailable_at_once(mesh: Mesh) -> None:
    client = mesh.with_settings(retry=replace(mesh.settings.retry, max_attempts=1))
    mesh.directory.address += "x"

    with pytest.raises(CallError, match="no connection to unix:"):
        await _call(client)


class Renewed:
    """A token that is another one at each attempt."""

    def __init__(self) -> None:
        self.asked = 0

    def current(self) -> tuple[str, str]:
        self.asked += 1
        return "authorization", f"Bearer {self.asked}"


@pytest.mark.parametrize("method", [UNARY, SERVER_STREAM, CLIENT_STREAM, BIDI_STREAM])
async def test_every_attempt_bears_the_token_of_the_process(mesh: Mesh, method: Method) -> None:
    client = ServiceClient(mesh.settings, mesh.directory, mesh.pool, Renewed())
    request = method.path.rsplit("/", 1)[1] + "Request"
    message = getattr(probe_pb2, request)(payload=b"x")
    own = (("authorization", "Bearer mine"), ("authorization", "Bearer other"), ("k", "v"))
    mesh.probe.script = _unavailable(2)

    if method.response_streaming:
        _ = [one async for one in client.stream("x", method, message, metadata=own)]
    else:
        await client.call("x", method, message, metadata=own)

    found = [[value for name, value in each if name == "authorization"] for each in mesh.probe.raw]
    assert found == [["Bearer 1"], ["Bearer 2"]]
    assert [arrival["k"] for arrival in mesh.probe.arrivals] == ["v", "v"]


async def test_without_a_token_a_caller_may_give_its_own(mesh: Mesh) -> None:
    own = (("authorization", "Bearer mine"),)

    await mesh.client.call("x", UNARY, probe_pb2.UnaryRequest(), metadata=own)

    assert mesh.probe.arrivals[0]["authorization"] == "Bearer mine"
