"""DID events (document: Streaming): every change to every subscriber, in order, without a gap."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import contextmanager

from blackhole.identity.v1 import identity_pb2 as pb

from ...mesh.errors import ResourceExhaustedError, UnavailableError


class Subscription:
    """The events that one subscriber has not read yet.

    Args:
        types: the event types it asked for; none: all.
        capacity: events kept at most. One more ends the subscription: a copy that
            follows the events is wrong from the first one that it misses (IDN-10).
    """

    def __init__(self, types: Collection[int], capacity: int) -> None:
        """Start empty."""
        self._types = frozenset(types)
        self._capacity = capacity
        self._events: deque[pb.DIDEvent] = deque()
        self._end: Exception | None = None
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        """Show how many events wait, and why it ended."""
        return f"Subscription(waiting={len(self._events)}, end={self._end!r})"

    def put(self, event: pb.DIDEvent) -> None:
        """Keep an event for the subscriber, or end its subscription."""
        if self._end is not None or (self._types and event.type not in self._types):
            return
        if len(self._events) >= self._capacity:
            self.end(
                ResourceExhaustedError(
                    f"the subscriber did not read, and {self._capacity} events wait for it"
                )
            )
            return
        self._events.append(event)
        self._changed.set()

    def end(self, error: Exception) -> None:
        """End the subscription by an error, once what waits was read."""
        self._end = error
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[pb.DIDEvent]:
        """Yield the events; raises what ended the subscription."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._end is not None:
                raise self._end
            self._changed.clear()
            await self._changed.wait()


class Subscribers:
    """Everybody who subscribed.

    Args:
        most: subscribers at once.
        capacity: events kept for each.
    """

    def __init__(self, most: int, capacity: int) -> None:
        """Start with none."""
        self._most = most
        self._capacity = capacity
        self._subscriptions: set[Subscription] = set()
        self._draining = False

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"Subscribers({len(self._subscriptions)} of {self._most})"

    @contextmanager
    def subscribed(self, types: Iterable[int]) -> Iterator[Subscription]:
        """Subscribe for the length of a with block.

        Raises:
            ResourceExhaustedError: there are as many as there may be.
            UnavailableError: the service drains.
        """
        if self._draining:
            raise UnavailableError("the service is draining")
        if len(self._subscriptions) >= self._most:
            raise ResourceExhaustedError(f"there are {self._most} subscribers already")
        subscription = Subscription(frozenset(types), self._capacity)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def publish(self, event: pb.DIDEvent) -> None:
        """Give an event to every subscriber; never waits for any of them."""
        for subscription in self._subscriptions:
            subscription.put(event)

    def drain(self) -> None:
        """End every subscription."""
        self._draining = True
        for subscription in self._subscriptions:
            subscription.end(UnavailableError("the service is draining"))
