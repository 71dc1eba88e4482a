"""blackhole.identity.v1.IdentityService."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

from blackhole.identity.v1 import identity_pb2 as pb
from blackhole.identity.v1 import identity_pb2_grpc

from ...config.sections import Identity as IdentitySettings
from ...mesh.calls import current_call
from ...mesh.errors import FailedError
from ...mesh.health import Health
from ...mesh.sending import sent
from ..presence import StoreError
from .events import Subscribers
from .store import Create, Delete, DIDStore, Update
from .validation import check_batch, check_create, check_did, check_types


class IdentityServicer(identity_pb2_grpc.IdentityServiceServicer):
    """The methods, each in a few lines; what they need stands in the modules beside."""

    def __init__(
        self,
        settings: IdentitySettings,
        store: DIDStore,
        subscribers: Subscribers,
        health: Health,
    ) -> None:
        """Serve from a store that is open."""
        self._settings = settings
        self._store = store
        self._subscribers = subscribers
        self._health = health

    async def CreateDID(  # noqa: N802
        self, request: pb.CreateDIDRequest, _context: Any
    ) -> pb.CreateDIDResponse:
        """Create a DID; durable before it is answered."""
        check_create(request)
        return (await self._create([request]))[0]

    async def BatchCreateDIDs(  # noqa: N802
        self, request: pb.BatchCreateDIDsRequest, _context: Any
    ) -> pb.BatchCreateDIDsResponse:
        """Create all of a batch, or nothing."""
        check_batch(request, self._settings.max_batch_items)
        return pb.BatchCreateDIDsResponse(dids=await self._create(request.requests))

    async def ResolveDID(  # noqa: N802
        self, request: pb.ResolveDIDRequest, _context: Any
    ) -> pb.ResolveDIDResponse:
        """Return what a DID stands for."""
        check_did(request.did)
        return pb.ResolveDIDResponse(document=await self._store.read(request.did))

    async def UpdateDID(  # noqa: N802
        self, request: pb.UpdateDIDRequest, _context: Any
    ) -> pb.UpdateDIDResponse:
        """Replace all properties of a DID."""
        check_did(request.did)
        (event,) = await self._write(Update(request.did, request.properties))
        return pb.UpdateDIDResponse(updated_at=event.timestamp)

    async def DeleteDID(  # noqa: N802
        self, request: pb.DeleteDIDRequest, _context: Any
    ) -> pb.DeleteDIDResponse:
        """Delete a DID for ever."""
        check_did(request.did)
        (event,) = await self._write(Delete(request.did))
        return pb.DeleteDIDResponse(deleted_at=event.timestamp)

    async def StreamDIDEvents(  # noqa: N802
        self, request: pb.StreamDIDEventsRequest, context: Any
    ) -> AsyncIterator[pb.DIDEvent]:
        """Send every change from now on; the initial metadata says that `now` has begun."""
        check_types(request)
        with self._subscribers.subscribed(request.types) as subscription:
            await sent(context.send_initial_metadata(()))
            async for event in subscription:
                yield event

    async def Check(  # noqa: N802
        self, request: pb.HealthCheckRequest, _context: Any
    ) -> pb.HealthCheckResponse:
        """Say what grpc.health.v1 says, by the same number (IDN-13)."""
        status: Any = self._health.status(request.service)
        return pb.HealthCheckResponse(status=status)

    async def _write(self, change: Create | Update | Delete) -> list[pb.DIDEvent]:
        """Change the store; who asked for it is remembered, should it leave before that is done."""
        current_call().keep_peer()
        return await self._store.write(change)

    async def _create(self, requests: Any) -> list[pb.CreateDIDResponse]:
        if not requests:
            return []
        documents = [
            pb.DIDDocument(
                did=new_did(request.method),
                properties=request.properties,
                encryption=request.encryption if request.HasField("encryption") else None,
            )
            for request in requests
        ]
        try:
            events = await self._write(Create(documents))
        except StoreError as error:
            raise FailedError("failed to create DID") from error
        return [self._created(event) for event in events]

    def _created(self, event: pb.DIDEvent) -> pb.CreateDIDResponse:
        return pb.CreateDIDResponse(
            did=event.did,
            created_at=event.timestamp,
            resolver_endpoint=f"{self._settings.resolver_base_uri}/{event.did}",
        )


def new_did(method: str) -> str:
    """Return a DID that never was: 128 random bits need no coordination (IDN-2)."""
    return f"did:{method}:{secrets.token_hex(16)}"
