"""The identity service as a process: what is opened, in which order, and closed again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from blackhole.identity.v1 import identity_pb2, identity_pb2_grpc

from ...config.service import Settings
from ...mesh import server
from ...mesh.calls import Call
from ...mesh.errors import StartError
from ...mesh.health import NOT_SERVING, SERVING, Health
from ...mesh.security import audit
from .events import Subscribers
from .servicer import IdentityServicer
from .store import DIDStore, StoreError

AUDITED = {
    identity_pb2.EVENT_TYPE_CREATED: "did_created",
    identity_pb2.EVENT_TYPE_UPDATED: "did_updated",
    identity_pb2.EVENT_TYPE_DELETED: "did_deleted",
}
"""Name in the audit of each change (AUD-3)."""

LOOKS = 4
"""Looks at the store in one `health.watch_interval`: a change is known well within it."""


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

    def committed(event: identity_pb2.DIDEvent, call: Call) -> None:
        subscribers.publish(event)
        audit.changed(AUDITED[event.type], call, did=event.did)

    try:
        store = DIDStore(settings.data_dir / settings.name, settings.store, committed)
    except StoreError as error:
        raise StartError(f"data_dir: {error}") from error
    monitor = asyncio.create_task(follow(store, health, settings.watch_interval / LOOKS))
    try:
        servicer = IdentityServicer(settings.identity, store, subscribers, health)
        yield IdentityService(servicer, subscribers)
    finally:
        monitor.cancel()
        with suppress(asyncio.CancelledError):
            await monitor
        await store.close()


async def follow(store: DIDStore, health: Health, interval: float) -> None:
    """Look at the store every `interval` seconds, and say what is seen (HLT-5)."""
    while True:
        health.set(SERVING if store.present else NOT_SERVING)
        await asyncio.sleep(interval)
