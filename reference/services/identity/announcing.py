"""Announcing: changes of DIDs as events of the events service, as well as can be.

A change is neither delayed nor refused because its event cannot be published:
events wait in a bounded queue for one task, which publishes one after the other,
so that their order is that of the changes. What finds the queue full, or cannot
be published, is dropped and counted.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from contextvars import Context, copy_context

from blackhole.events.v1 import events_pb2
from blackhole.identity.v1 import identity_pb2 as pb

from ...mesh.calls import REQUEST_ID, current_call, request_id
from ...mesh.client import ServiceClient
from ...mesh.methods import method_of
from ...mesh.outgoing import CallError
from ...mesh.telemetry.drops import DropCounter
from ..inbox import Inbox

EVENTS = "events"
"""Name of the service."""

PUBLISH = method_of(events_pb2.DESCRIPTOR.services_by_name["EventStream"], "Publish")

TYPES = {
    pb.EVENT_TYPE_CREATED: "identity.did.created",
    pb.EVENT_TYPE_UPDATED: "identity.did.updated",
    pb.EVENT_TYPE_DELETED: "identity.did.deleted",
}

WAITING = 1000
"""Events that wait at most; none is larger than a DID."""

TIMEOUT = 5.0
"""Seconds for one event and all its attempts: those behind it wait."""

PAUSE = 1.0
"""Seconds from an event that could not be published to the next: looking for a service that is
not there costs as much as creating a DID, and who creates DIDs should not notice."""


class Announcer:
    """Publishes changes in the background.

    Args:
        client: calls the events service.
        drops: counts events that were not published.
        pause: seconds after one that could not be.
    """

    def __init__(self, client: ServiceClient, drops: DropCounter, pause: float = PAUSE) -> None:
        """Start with nothing to announce."""
        self._client = client
        self._drops = drops
        self._pause = pause
        self._inbox: Inbox[tuple[events_pb2.Event, Context]] = Inbox(WAITING)

    def __repr__(self) -> str:
        """Show what waits, and what was dropped."""
        return f"Announcer({self._inbox}, {self._drops})"

    def announce(self, changes: Iterable[pb.DIDEvent]) -> None:
        """Have changes published, in the context of the call that made them; never waits."""
        for change in changes:
            if not self._inbox.put((event_of(change), copy_context())):
                self._drops.add()

    async def run(self) -> None:
        """Publish whatever comes, until cancelled."""
        async for event, context in self._inbox:
            await asyncio.create_task(self._publish(event), context=context)

    async def _publish(self, event: events_pb2.Event) -> None:
        cause = current_call().request_id
        metadata = ((REQUEST_ID, cause),) if cause else ()
        try:
            await self._client.call(EVENTS, PUBLISH, event, timeout=TIMEOUT, metadata=metadata)
        except CallError:
            self._drops.add()
            await asyncio.sleep(self._pause)


@asynccontextmanager
async def announcing(client: ServiceClient) -> AsyncIterator[Announcer]:
    """Have an announcer for the length of a with block; what still waits then is lost."""
    drops = DropCounter(
        "blackhole_announcements_dropped_total", "changes of DIDs could not be announced"
    )
    announcer = Announcer(client, drops)
    running = asyncio.create_task(announcer.run())
    try:
        yield announcer
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        drops.close()


def event_of(change: pb.DIDEvent) -> events_pb2.Event:
    """Return what is published of a change: no properties and no keys, which others may not see."""
    return events_pb2.Event(
        # Made here, so that an event that is sent twice is known to be one.
        id=request_id(),
        type=TYPES[change.type],
        source="identity",
        timestamp=change.timestamp,
        attributes={"did": change.did},
    )
