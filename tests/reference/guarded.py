"""A server behind the whole pipeline, whose handlers say what they know of their callers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from structlog.testing import capture_logs

from blackhole.conformance.v1 import probe_pb2, probe_pb2_grpc
from reference.config.auth import RateLimit
from reference.mesh.calls import current_call
from reference.mesh.health import SERVING, Health, HealthServicer
from reference.mesh.piped import PipedServer
from reference.mesh.pipeline import Pipeline
from reference.mesh.security import keys
from reference.mesh.security.guard import Guard
from reference.mesh.security.rate_limit import Limiter
from reference.mesh.security.roles import Roles
from reference.mesh.security.tokens import Verifier
from reference.mesh.stages import MetadataLimit, Stage

from .mesh_place import short_place
from .minting import Clock, Key, Keys, key_set, settings

PROBE = "/blackhole.conformance.v1.Probe"
KINDS = ("Unary", "ServerStream", "ClientStream", "BidiStream")
KEY = Key("one")

ROLES = {
    "all": ["*"],
    "probe": [f"{PROBE}/*"],
    "unary": [f"{PROBE}/Unary"],
    "elsewhere": ["/a.B/*"],
}


class Probe(probe_pb2_grpc.ProbeServicer):
    """Answers with the caller's subject, role and metadata, as handlers see them."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    def _seen(self, context: Any) -> bytes:
        call = current_call()
        self.reached.append(call.method)
        assert context.time_remaining() > 0
        names = sorted(name for name, _ in context.invocation_metadata() if name != "user-agent")
        return f"{call.subject} {call.role} {call.peer} {','.join(names)}".encode()

    async def Unary(self, _request: Any, context: Any) -> Any:  # noqa: N802
        await asyncio.sleep(0)
        return probe_pb2.UnaryResponse(payload=self._seen(context))

    async def ServerStream(self, _request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        yield probe_pb2.ServerStreamResponse(payload=self._seen(context))

    async def ClientStream(self, requests: Any, context: Any) -> Any:  # noqa: N802
        async for _ in requests:
            pass
        return probe_pb2.ClientStreamResponse(payload=self._seen(context))

    async def Batch(self, _request: Any, context: Any) -> Any:  # noqa: N802
        return probe_pb2.BatchResponse(results=[self._seen(context)])

    async def BidiStream(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for _ in requests:
            pass
        yield probe_pb2.BidiStreamResponse(payload=self._seen(context))


@dataclass
class Guarded:
    """The server, what it stands on, and how it is called."""

    channel: Any
    address: str
    probe: Probe
    server: PipedServer
    pipeline: Pipeline
    verifier: Verifier
    log: list[Any] = field(default_factory=list)

    @property
    def audit(self) -> list[Any]:
        """The audit records."""
        return [line for line in self.log if line["event"] == "audit"]

    async def call(
        self, method: str, *metadata: tuple[str, str], body: bytes | None = b"", wait: float = 5
    ) -> tuple[str, str, dict[str, Any]]:
        """Call by bytes, with a stream of answers: every kind looks like that on the wire.

        Not as a stream in both directions, where there is a message: where the server ends such a
        call first, grpc.aio now and then puts an INTERNAL of its own in the place of its status.

        Args:
            method: whole path.
            metadata: of the call.
            body: None: no message is sent, and the call stays half open.
            wait: seconds for the answer.
        """
        never: asyncio.Queue[bytes] = asyncio.Queue()

        async def nothing() -> AsyncIterator[bytes]:
            while True:
                yield await never.get()

        call: Any
        if body is None:
            call = self.channel.stream_stream(method)(nothing(), metadata=metadata, timeout=wait)
        else:
            call = self.channel.unary_stream(method)(body, metadata=metadata, timeout=wait)
        try:
            found = b"".join([message async for message in call]).decode(errors="replace")
            code = await call.code()
        except grpc.aio.AioRpcError as error:
            code, found = error.code(), error.details() or ""
        return code.name, found, dict(await call.trailing_metadata())


def bearer(token: str) -> tuple[str, str]:
    """Return the entry for a token."""
    return "authorization", f"Bearer {token}"


def as_role(role: str | None, **more: Any) -> tuple[str, str]:
    """Return the entry for a good token with a role."""
    return bearer(KEY.token(role=role, **more))


@asynccontextmanager
async def guarded(
    limit: RateLimit | None = None, *, tokens: bool = True, more: Sequence[Stage] = ()
) -> AsyncIterator[Guarded]:
    """Run the server."""
    verifier = Verifier(settings(), Keys(keys.parse(key_set(KEY))), Clock())
    limiter = Limiter(limit) if limit else None
    guard = Guard(verifier if tokens else None, Roles(ROLES), limiter)
    pipeline = Pipeline([*more, MetadataLimit(16_384), guard], 1 << 20, 1024)
    options = [("grpc.max_metadata_size", 1 << 20)]
    server = PipedServer(grpc.aio.server(handlers=[pipeline], options=options), pipeline)
    probe = Probe()
    probe_pb2_grpc.add_ProbeServicer_to_server(probe, server)
    health = Health("probe")
    health.set(SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
    with short_place() as place, capture_logs() as log:
        address = f"unix:{place.root}/x"
        server.add_insecure_port(address)
        await server.start()
        options = [("grpc.use_local_subchannel_pool", 1)]
        try:
            async with grpc.aio.insecure_channel(address, options=options) as channel:
                yield Guarded(channel, address, probe, server, pipeline, verifier, log)
        finally:
            await server.stop(None)
