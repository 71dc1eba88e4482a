"""DID events (document: Streaming): every change to every subscriber, in order, without a gap."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from blackhole.identity.v1 import identity_pb2 as pb

from ...mesh.errors import ResourceExhaustedError, UnavailableError
from ..inbox import Inbox


class Subscription(Inbox[pb.DIDEvent]):
    """The events that one subscriber has not read yet.

    Args:
        types: the event types it asked for; none: all.
        capacity: events kept at most. One more ends the subscription: a copy that
            follows the events is wrong from the first one that it misses (IDN-10).
    """

    def __init__(self, types: Collection[int], capacity: int) -> None:
        """Start empty."""
        super().__init__(capacity)
        self._types = frozenset(types)

    def put(self, event: pb.DIDEvent) -> bool:
        """Keep an event for the subscriber if it asked for it, or end its subscription."""
        if self._types and event.type not in self._types:
            return False
        if not (kept := super().put(event)):
            self.end(
                ResourceExhaustedError(
                    f"the subscriber did not read, and {self._capacity} events wait for it"
                )
            )
        return kept


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

    def publish(self, events: Iterable[pb.DIDEvent]) -> None:
        """Give events to every subscriber; never waits for any of them."""
        for event in events:
            for subscription in self._subscriptions:
                subscription.put(event)

    def drain(self) -> None:
        """End every subscription."""
        self._draining = True
        for subscription in self._subscriptions:
            subscription.end(UnavailableError("the service is draining"))
