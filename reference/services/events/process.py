"""The events service as a process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from blackhole.events.v1 import events_pb2, events_pb2_grpc

from ...config.service import Settings
from ...mesh import server
from ...mesh.health import SERVING, Health
from ...mesh.telemetry.drops import DropCounter
from .broker import Broker
from .servicer import EventServicer


class EventService:
    """What the events service brings to its process."""

    full_names = (events_pb2.DESCRIPTOR.services_by_name["EventStream"].full_name,)

    def __init__(self, broker: Broker) -> None:
        """Serve from a broker."""
        self._broker = broker

    def add_to(self, grpc_server: Any) -> None:
        """Register the servicer."""
        events_pb2_grpc.add_EventStreamServicer_to_server(EventServicer(self._broker), grpc_server)

    def drain(self) -> None:
        """End every subscription."""
        self._broker.drain()


def run(settings: Settings) -> int:
    """Run the events service until SIGTERM; return the exit status."""
    return server.run(settings, opened)


@asynccontextmanager
async def opened(settings: Settings, health: Health) -> AsyncIterator[EventService]:
    """Start with no subscriber; there is nothing to open."""
    drops = DropCounter("blackhole_events_dropped_total", "events were dropped: buffers are full")
    buffer, most = settings.events.subscriber_buffer, settings.events.max_subscribers
    health.set(SERVING)
    try:
        yield EventService(Broker(most, buffer, drops))
    finally:
        drops.close()
