"""blackhole.events.v1.EventStream."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

from blackhole.events.v1 import events_pb2 as pb
from blackhole.events.v1 import events_pb2_grpc

from ...mesh.sending import sent
from .broker import Broker
from .validation import check_event, check_subscribe


class EventServicer(events_pb2_grpc.EventStreamServicer):
    """The methods.

    Args:
        broker: knows the subscribers.
    """

    def __init__(self, broker: Broker) -> None:
        """Serve from a broker."""
        self._broker = broker

    async def Subscribe(  # noqa: N802
        self, request: pb.SubscribeRequest, context: Any
    ) -> AsyncIterator[pb.Event]:
        """Send every event from now on; the initial metadata says that `now` has begun (EVT-1)."""
        check_subscribe(request)
        with self._broker.subscribed(request.event_type) as subscription:
            await sent(context.send_initial_metadata(()))
            async for event in subscription:
                yield event

    async def Publish(self, request: pb.Event, _context: Any) -> pb.PublishResponse:  # noqa: N802
        """Put an event into every buffer that has room (EVT-4, EVT-7)."""
        check_event(request)
        if not request.id:
            request.id = str(uuid.uuid4())
        if not request.HasField("timestamp"):
            request.timestamp.GetCurrentTime()
        published = self._broker.publish(request)
        return pb.PublishResponse(
            success=True,
            event_id=request.id,
            delivered=published.delivered,
            dropped=published.dropped,
        )
