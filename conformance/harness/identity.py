"""The identity service under judgement: where it is, and words for what it offers."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from blackhole.identity.v1 import identity_pb2 as pb

from . import bounds
from .calls import Answer, Channel, Metadata, Stream
from .judging import NonConformance, expect
from .processes import Exit, Process

SERVICE = "blackhole.identity.v1.IdentityService"
HEALTH = "grpc.health.v1.Health"

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

_METHODS = pb.DESCRIPTOR.services_by_name["IdentityService"].methods_by_name


class Identity:
    """One running identity service, and a channel of the suite's to it.

    Args:
        path: its socket.
        process: the process, if the suite started it.
        grace: its `grace_period` in seconds.
    """

    def __init__(self, path: Path, process: Process | None, grace: float) -> None:
        """Make a channel; nothing is sent before the first call."""
        self.path = path
        self._process = process
        self.grace = grace
        self._channels: list[Channel] = []
        self.channel = self.connect()

    def __repr__(self) -> str:
        """Show where it is and what runs it."""
        return f"Identity({str(self.path)!r}, {self._process})"

    @property
    def has_process(self) -> bool:
        """Whether the suite started it, and configured it; else it is attached."""
        return self._process is not None

    @property
    def process(self) -> Process:
        """The process that the suite started."""
        assert self._process is not None, "an attached service has no process of the suite's"  # noqa: S101
        return self._process

    def connect(self) -> Channel:
        """Return another channel, with a connection of its own, closed by `hang_up`."""
        channel = Channel(f"unix:{self.path}", on_hang=self._put_down)
        self._channels.append(channel)
        return channel

    async def hang_up(self, *, keep: Channel | None = None) -> None:
        """Close every channel of the suite's, but one that is to be kept."""
        for channel in self._channels:
            if channel is not keep:
                await channel.close()
        self._channels = [channel for channel in self._channels if channel is keep]

    async def ready(self, bound: float) -> None:
        """Wait until the socket accepts and Check says SERVING.

        Raises:
            NonConformance: the process ended first, or the bound (seconds) passed.
        """
        try:
            async with asyncio.timeout(bound + bounds.JITTER.seconds):
                while not (self.accepts() and await self.serving()):
                    if self._process is not None and not self._process.alive:
                        raise self._not_ready("the process ended")
                    await asyncio.sleep(bounds.POLL)
        except TimeoutError:
            raise self._not_ready(f"not after {bound:g} s") from None

    def accepts(self) -> bool:
        """Tell whether the socket accepts a connection now."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(OSError):
            probe.setblocking(False)
            probe.connect(str(self.path))
            return True
        return False

    async def serving(self) -> bool:
        """Tell whether Check says SERVING for the service's name."""
        answer = await self.check()
        return bool(answer.code == "OK" and answer.response.status == SERVING)

    async def call(self, method: str, request: Message | bytes, **how: Any) -> Answer:
        """Call a unary method of IdentityService by name."""
        return await self.call_on(self.channel, method, request, **how)

    async def call_on(
        self, channel: Channel, method: str, request: Message | bytes, **how: Any
    ) -> Answer:
        """Call a unary method over another channel."""
        response = message_factory.GetMessageClass(_METHODS[method].output_type)
        return await channel.unary(f"/{SERVICE}/{method}", request, response, **how)

    async def create(
        self,
        method: str = "key",
        properties: Mapping[str, str] | None = None,
        *,
        channel: Channel | None = None,
        metadata: Metadata = (),
    ) -> pb.CreateDIDResponse:
        """Create a DID that must be created, and return the answer's message."""
        request = pb.CreateDIDRequest(method=method, properties=properties or {})
        answer = await self.call_on(
            channel or self.channel, "CreateDID", request, metadata=metadata
        )
        return self._ok("CreateDID", answer)  # type: ignore[no-any-return]

    async def batch(self, requests: Sequence[pb.CreateDIDRequest]) -> list[pb.CreateDIDResponse]:
        """Create a batch that must be created, and return its results."""
        answer = await self.call("BatchCreateDIDs", pb.BatchCreateDIDsRequest(requests=requests))
        return list(self._ok("BatchCreateDIDs", answer).dids)

    async def resolve(self, did: str) -> pb.DIDDocument:
        """Resolve a DID that must be there, and return its document."""
        answer = await self.call("ResolveDID", pb.ResolveDIDRequest(did=did))
        return self._ok("ResolveDID", answer).document  # type: ignore[no-any-return]

    async def update(self, did: str, properties: Mapping[str, str]) -> pb.UpdateDIDResponse:
        """Update a DID that must be there."""
        request = pb.UpdateDIDRequest(did=did, properties=properties)
        return self._ok("UpdateDID", await self.call("UpdateDID", request))  # type: ignore[no-any-return]

    async def delete(self, did: str) -> pb.DeleteDIDResponse:
        """Delete a DID that must be there."""
        request = pb.DeleteDIDRequest(did=did)
        return self._ok("DeleteDID", await self.call("DeleteDID", request))  # type: ignore[no-any-return]

    async def events(
        self,
        *types: Any,
        channel: Channel | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """Subscribe to StreamDIDEvents, and wait until the subscription stands or is refused."""
        request = pb.StreamDIDEventsRequest(types=types)
        return await (channel or self.channel).subscribe(
            f"/{SERVICE}/StreamDIDEvents", request, pb.DIDEvent, timeout=timeout
        )

    async def check(self, name: str = "identity", channel: Channel | None = None) -> Answer:
        """Call grpc.health.v1.Health/Check."""
        return await (channel or self.channel).unary(
            f"/{HEALTH}/Check",
            health_pb2.HealthCheckRequest(service=name),
            health_pb2.HealthCheckResponse,
        )

    async def watch(self, name: str = "identity", channel: Channel | None = None) -> Stream:
        """Call grpc.health.v1.Health/Watch."""
        return await (channel or self.channel).subscribe(
            f"/{HEALTH}/Watch",
            health_pb2.HealthCheckRequest(service=name),
            health_pb2.HealthCheckResponse,
        )

    async def lives(self) -> None:
        """Make sure that it still serves: create a DID and resolve it.

        Raises:
            NonConformance: it does not.
        """
        created = await self.create(properties={"suite": "still serves"})
        document = await self.resolve(created.did)
        expect(dict(document.properties), equals={"suite": "still serves"}, what="still serves")

    async def stop(self) -> Exit:
        """End the process by SIGTERM, which must be enough."""
        await self.hang_up()
        return await self.process.end(self.grace)

    async def kill(self) -> None:
        """End the process by SIGKILL."""
        await self.hang_up()
        await self.process.kill()

    def _ok(self, method: str, answer: Answer) -> Any:
        expect((answer.code, answer.message), equals=("OK", ""), what=f"status of {method}")
        return answer.response

    def _put_down(self) -> None:
        if self._process is not None and self._process.alive:
            os.kill(self._process.pid, signal.SIGKILL)

    def _not_ready(self, observed: str) -> NonConformance:
        story = self._process.story() if self._process is not None else f"at {self.path}"
        return NonConformance(
            what="readiness: the socket accepts and Check says SERVING",
            expected="ready",
            observed=f"{observed}\n{story}",
        )
