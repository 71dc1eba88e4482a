"""The events service under judgement: words for what it offers."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from blackhole.events.v1 import events_pb2 as pb

from . import bounds
from .answers import Answer
from .calls import Channel
from .judging import expect
from .raw import RawConnection, framed
from .service import ServedProcess
from .streams import Stream

SERVICE = "blackhole.events.v1.EventStream"

_numbers = itertools.count(1)


def new_type() -> str:
    """Return an event type that nobody else uses."""
    return f"suite.{next(_numbers)}.type"


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

    @asynccontextmanager
    async def unread(self, event_type: str) -> AsyncIterator["Unread"]:
        """Subscribe over a connection whose window stays shut, and wait until it stands."""
        async with RawConnection(self.address, shut=True) as connection:
            stream = await connection.begin(f"/{SERVICE}/Subscribe")
            request = pb.SubscribeRequest(event_type=event_type)
            await connection.send(stream, framed(request), end=True)
            answer = connection.answer(stream)
            await connection.seen(
                lambda: bool(answer.headers) or answer.over,
                bound=bounds.DEADLINE,
                what="the initial metadata of a subscription",
            )
            yield Unread(connection, stream)

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


class Unread:
    """A subscriber that does not read, by flow control, until it is told to."""

    def __init__(self, connection: RawConnection, stream: int) -> None:
        """Take a subscription that stands."""
        self._connection = connection
        self._answer = connection.answer(stream)

    def __repr__(self) -> str:
        """Show how much arrived."""
        return f"Unread(arrived={len(self.arrived)}, over={self._answer.over})"

    @property
    def arrived(self) -> list[pb.Event]:
        """The events that arrived whole so far."""
        return [pb.Event.FromString(message) for message in self._answer.messages()]

    async def read_on(self) -> None:
        """Read everything that comes, from now on."""
        await self._connection.open_up()

    async def until(self, count: int) -> list[pb.Event]:
        """Wait until so many events arrived, and return all of them.

        Raises:
            NonConformance: they did not.
        """
        await self._connection.seen(
            lambda: len(self._answer.frames()) >= count or self._answer.over,
            bound=bounds.DEADLINE,
            what=f"{count} events for the subscriber that did not read",
        )
        return self.arrived
