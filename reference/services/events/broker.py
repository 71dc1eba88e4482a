"""Who has subscribed to which type, and what becomes of a published event.

Document: Event Streaming. A subscriber's buffer that is full loses the new event,
and nobody else does (EVT-4, EVT-5).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from blackhole.events.v1 import events_pb2 as pb

from ...mesh.errors import ResourceExhaustedError, UnavailableError
from ...mesh.telemetry.drops import DropCounter
from ..inbox import Inbox

Subscription = Inbox[pb.Event]


class Published(NamedTuple):
    """What became of an event."""

    delivered: int
    """Subscribers in whose buffers it is."""
    dropped: int
    """Subscribers whose buffers are full."""


class Broker:
    """The subscribers of one process.

    Args:
        most: subscribers at once.
        capacity: events kept for each.
        drops: counts events that found a buffer full.
    """

    def __init__(self, most: int, capacity: int, drops: DropCounter) -> None:
        """Start with nobody."""
        self._most = most
        self._capacity = capacity
        self._drops = drops
        self._by_type: dict[str, set[Subscription]] = {}
        self._count = 0
        self._draining = False

    def __repr__(self) -> str:
        """Show how many subscribers and types there are."""
        return f"Broker({self._count} of {self._most}, types={len(self._by_type)})"

    @contextmanager
    def subscribed(self, event_type: str) -> Iterator[Subscription]:
        """Subscribe for the length of a with block.

        Raises:
            ResourceExhaustedError: there are as many subscribers as there may be.
            UnavailableError: the service drains.
        """
        if self._draining:
            raise UnavailableError("the service is draining")
        if self._count >= self._most:
            raise ResourceExhaustedError(f"there are {self._most} subscribers already")
        subscription = Subscription(self._capacity)
        self._by_type.setdefault(event_type, set()).add(subscription)
        self._count += 1
        try:
            yield subscription
        finally:
            self._leave(event_type, subscription)

    def publish(self, event: pb.Event) -> Published:
        """Give an event to every subscriber of its type; never waits for any of them."""
        subscribers = self._by_type.get(event.type, ())
        delivered = sum(subscription.put(event) for subscription in subscribers)
        dropped = len(subscribers) - delivered
        self._drops.add(dropped)
        return Published(delivered, dropped)

    def drain(self) -> None:
        """End every subscription."""
        self._draining = True
        for subscribers in self._by_type.values():
            for subscription in subscribers:
                subscription.end(UnavailableError("the service is draining"))

    def _leave(self, event_type: str, subscription: Subscription) -> None:
        """Forget a subscriber, and its type with the last of them (EVT-6)."""
        subscribers = self._by_type[event_type]
        subscribers.discard(subscription)
        if not subscribers:
            del self._by_type[event_type]
        self._count -= 1
