"""The identity service as a process: what is opened, in which order, and closed again."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from blackhole.identity.v1 import identity_pb2, identity_pb2_grpc

from ...config.service import Settings
from ...mesh import server
from ...mesh.calls import current_call
from ...mesh.errors import StartError
from ...mesh.health import Health
from ...mesh.security import audit
from ...mesh.telemetry.measures import PROCESS
from ..presence import StoreError, followed
from .events import Subscribers
from .servicer import IdentityServicer
from .store import DIDStore

if TYPE_CHECKING:
    from ...config.client import Client

AUDITED = {
    identity_pb2.EVENT_TYPE_CREATED: "did_created",
    identity_pb2.EVENT_TYPE_UPDATED: "did_updated",
    identity_pb2.EVENT_TYPE_DELETED: "did_deleted",
}
"""Name in the audit of each change (AUD-3)."""

Announce = Callable[[list[identity_pb2.DIDEvent]], None]
"""Tells others of changes, without waiting for them."""


class IdentityService:
    """What the identity service brings to its process."""

    full_names = (identity_pb2.DESCRIPTOR.services_by_name["IdentityService"].full_name,)

    def __init__(self, servicer: IdentityServicer, subscribers: Subscribers) -> None:
        """Put together what was opened."""
        self._servicer = servicer
        self._subscribers = subscribers

    def add_to(self, grpc_server: Any) -> None:
        """Register the servicer."""
        identity_pb2_grpc.add_IdentityServiceServicer_to_server(self._servicer, grpc_server)

    def drain(self) -> None:
        """End every subscription."""
        self._subscribers.drain()


def run(settings: Settings) -> int:
    """Run the identity service until SIGTERM; return the exit status."""
    return server.run(settings, opened)


@asynccontextmanager
async def opened(settings: Settings, health: Health) -> AsyncIterator[IdentityService]:
    """Open the store, and keep health in step with it.

    Raises:
        StartError: the store cannot be opened.
    """
    subscribers = Subscribers(settings.identity.max_subscribers, settings.identity.event_buffer)
    created = PROCESS.counter("blackhole_dids_created_total", "DIDs that were created")
    async with announcements(settings.client) as announce:

        def committed(events: list[identity_pb2.DIDEvent]) -> None:
            subscribers.publish(events)
            announce(events)
            created.add(sum(event.type == identity_pb2.EVENT_TYPE_CREATED for event in events))
            for event in events:
                audit.changed(AUDITED[event.type], current_call(), did=event.did)

        try:
            store = DIDStore(settings.data_dir / settings.name, settings.store, committed)
        except StoreError as error:
            raise StartError(f"data_dir: {error}") from error
        try:
            async with followed(store, health, settings.watch_interval):
                servicer = IdentityServicer(settings.identity, store, subscribers, health)
                yield IdentityService(servicer, subscribers)
        finally:
            await store.close()


@asynccontextmanager
async def announcements(client: "Client | None") -> AsyncIterator[Announce]:
    """Give what announces changes to the events service, or to nobody if there is none."""
    if client is None:
        yield lambda _: None
        return
    # Imported here: who calls nobody starts without the mesh client.
    from ...mesh.joined import joined  # noqa: PLC0415
    from .announcing import announcing  # noqa: PLC0415

    async with joined(client) as mesh, announcing(mesh.client) as announcer:
        yield announcer.announce
