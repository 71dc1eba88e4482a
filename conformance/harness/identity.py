"""The identity service under judgement: words for what it offers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from blackhole.identity.v1 import identity_pb2 as pb

from .calls import Answer, Channel, Metadata, Stream
from .health import HEALTH, NOT_SERVING, SERVICE_UNKNOWN, SERVING
from .judging import expect
from .service import ServedProcess

__all__ = ["HEALTH", "NOT_SERVING", "SERVICE", "SERVICE_UNKNOWN", "SERVING", "Identity"]

SERVICE = "blackhole.identity.v1.IdentityService"

_METHODS = pb.DESCRIPTOR.services_by_name["IdentityService"].methods_by_name


class Identity(ServedProcess):
    """One running identity service, and a channel of the suite's to it."""

    NAME = "identity"

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
        metadata: Metadata = (),
    ) -> Stream:
        """Subscribe to StreamDIDEvents, and wait until the subscription stands or is refused."""
        request = pb.StreamDIDEventsRequest(types=types)
        return await (channel or self.channel).subscribe(
            f"/{SERVICE}/StreamDIDEvents",
            request,
            pb.DIDEvent,
            timeout=timeout,
            metadata=metadata,
        )

    async def watch(self, name: str = "identity", channel: Channel | None = None) -> Stream:
        """Call grpc.health.v1.Health/Watch."""
        return await (channel or self.channel).subscribe(
            f"/{HEALTH}/Watch",
            health_pb2.HealthCheckRequest(service=name),
            health_pb2.HealthCheckResponse,
        )

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator[None]:
        """Make sure that no DID is created, updated or deleted meanwhile.

        The first event that somebody sees who watches all the while is that of a DID created after.

        Raises:
            NonConformance: it is another.
        """
        events = await self.events()
        yield
        marker = await self.create()
        first = await events.next()
        events.cancel()
        expect(
            (first.WhichOneof("payload"), first.did),
            equals=("created", marker.did),
            what="the first change since the refused calls began: of a DID created after them",
        )

    async def lives(self) -> None:
        """Make sure that it still serves: create a DID and resolve it.

        Raises:
            NonConformance: it does not.
        """
        created = await self.create(properties={"suite": "still serves"})
        document = await self.resolve(created.did)
        expect(dict(document.properties), equals={"suite": "still serves"}, what="still serves")
