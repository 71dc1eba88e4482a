"""Those who follow the ledger: each reads on from the store when it has grown (LED-3).

Nothing is kept for anybody: a slow reader reads later, and misses nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Protocol

from blackhole.ledger.v1 import ledger_pb2 as pb

from ...mesh.errors import UnavailableError


class Pages(Protocol):
    """Where entries are read from."""

    async def page(self, index: int) -> list[pb.LedgerEntry]:
        """Return some of the entries from an index on, in order; none when it ends before."""


class Tail:
    """Wakes those who follow.

    Args:
        interval: seconds after which one looks by itself: another process may append too.
    """

    def __init__(self, interval: float) -> None:
        """Start without followers."""
        self._interval = interval
        self._grown = asyncio.Event()
        self._draining = False

    def __repr__(self) -> str:
        """Show whether it ends."""
        return f"Tail(draining={self._draining})"

    def grow(self, _entry: pb.LedgerEntry) -> None:
        """Learn that an entry is durable."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def drain(self) -> None:
        """End everybody's following."""
        self._draining = True
        self._grown.set()

    async def follow(self, pages: Pages, index: int) -> AsyncIterator[pb.LedgerEntry]:
        """Yield every entry from an index on, and go on as they come.

        Raises:
            UnavailableError: the service drains.
        """
        while not self._draining:
            # Taken before the look: what comes after the look sets it.
            grown = self._grown
            entries = await pages.page(index)
            for entry in entries:
                yield entry
            if entries:
                index = entries[-1].index + 1
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await grown.wait()
        raise UnavailableError("the service is draining")
