"""The four kinds of call, made at once: what waits for one of them waits for all."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from .arrivals import Arrival
from .driver import Driver
from .outcomes import Outcome
from .peer import Peer
from .replies import Reply

T = TypeVar("T")

KINDS = ("UNARY", "SERVER_STREAM", "CLIENT_STREAM", "BIDI_STREAM")
"""As `Driver.call` takes them."""

STREAMS = ("SERVER_STREAM", "BIDI_STREAM")
"""Those that are answered by a stream."""


def alike(value: T) -> dict[str, T]:
    """Return what is expected of every kind of call alike."""
    return dict.fromkeys(KINDS, value)


class Kinds:
    """A service for each kind of call, all of them alike."""

    def __init__(self, driver: Driver, peers: Mapping[str, Peer]) -> None:
        """Call by this driver; the peers are by kind of call."""
        self._driver = driver
        self.peers = peers

    def answers(self, *replies: Reply) -> None:
        """Let every peer answer its next calls with these."""
        for peer in self.peers.values():
            peer.answers(*replies)

    def begin(
        self, payload: bytes, *, kinds: Sequence[str] = KINDS, **how: Any
    ) -> dict[str, asyncio.Task[Outcome]]:
        """Begin a call of each kind with one message, all at once, and do not wait.

        Args:
            payload: of the message.
            kinds: these alone.
            how: as `Driver.call` takes it.
        """
        return {
            kind: self._driver.begin(self.peers[kind].name, payload, method=kind, **how)
            for kind in kinds
        }

    async def call(self, payload: bytes, **how: Any) -> dict[str, Outcome]:
        """Call like `begin`, and return how each call ended."""
        return await ended(self.begin(payload, **how))

    def seen(self, what: Callable[[list[Arrival]], T]) -> dict[str, T]:
        """Return what each peer's arrivals tell, by kind."""
        return {kind: what(peer.arrivals) for kind, peer in self.peers.items()}


async def ended(begun: Mapping[str, asyncio.Task[Outcome]]) -> dict[str, Outcome]:
    """Wait for calls that were begun, and return how each of them ended."""
    return dict(zip(begun, await asyncio.gather(*begun.values()), strict=True))


def told(outcomes: Mapping[str, Outcome]) -> dict[str, tuple[str, tuple[bytes, ...]]]:
    """Return code and payloads of each kind of call."""
    return {kind: (outcome.code, outcome.payloads) for kind, outcome in outcomes.items()}
