"""The events service under judgement: words for what it offers."""

import itertools
from typing import Any

from blackhole.events.v1 import events_pb2 as pb

from .calls import Answer, Channel, Stream
from .judging import expect
from .service import ServedProcess

SERVICE = "blackhole.events.v1.EventStream"

_numbers = itertools.count(1)


def new_type() -> str:
    """Return an event type that nobody else uses."""
    return f"suite.type{next(_numbers)}"


class Events(ServedProcess):
    """One running events service, and a channel of the suite's to it."""

    NAME = "events"

    async def subscribe(self, event_type: str, channel: Channel | None = None) -> Stream:
        """Subscribe, and wait until the subscription stands or is refused."""
        return await (channel or self.channel).subscribe(
            f"/{SERVICE}/Subscribe", pb.SubscribeRequest(event_type=event_type), pb.Event
        )

    async def publish(self, event: pb.Event, channel: Channel | None = None) -> Answer:
        """Publish an event."""
        return await (channel or self.channel).unary(
            f"/{SERVICE}/Publish", event, pb.PublishResponse
        )

    async def published(self, event: pb.Event) -> Any:
        """Publish an event that must be taken, and return the answer's message."""
        return self._ok("Publish", await self.publish(event))

    async def lives(self) -> None:
        """Make sure that it still serves: publish an event to a subscriber.

        Raises:
            NonConformance: it does not.
        """
        event_type = new_type()
        stream = await self.subscribe(event_type)
        await self.published(pb.Event(type=event_type, payload=b"still serves"))
        expect((await stream.next()).payload, equals=b"still serves", what="still serves")
        stream.cancel()
