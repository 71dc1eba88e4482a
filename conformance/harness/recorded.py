"""What reached a peer, and the waits of a test for it."""

import time

from . import bounds
from .arrivals import Arrival, Connection, story
from .bounds import until
from .peer_connection import PeerConnection

SETTLE = 0.05
"""Seconds after which a connection that carried no call is taken for one that will not: a health
check follows its connection within 0.7 ms on an idle host, within 14 ms with four busy processes
on its two cores (measured: grpc.aio in a process of its own, 200 connections each)."""


class Recorded:
    """The records of a peer. Calls and connections are listed in the order in which they came."""

    def __init__(self, name: str) -> None:
        """Begin with nothing recorded."""
        self.name = name
        self.arrivals: list[Arrival] = []
        """Every call but health checks, in the order in which their headers came."""
        self.checks: list[Arrival] = []
        """Every call of grpc.health.v1; their payload is the name that was asked for."""
        self._served: list[PeerConnection] = []

    def __repr__(self) -> str:
        """Show what reached it."""
        return f"{type(self).__name__}({self.name!r}, {self.connections}, {self.arrivals})"

    @property
    def in_flight(self) -> list[Arrival]:
        """Calls that have neither been answered nor cancelled, on connections that are open."""
        return [arrival for arrival in self.arrivals if not arrival.over]

    @property
    def all_connections(self) -> list[Connection]:
        """Every connection that was accepted."""
        return [served.record for served in self._served]

    @property
    def connections(self) -> list[Connection]:
        """Connections that carried a call other than health checks, or no call at all.

        One that is new and carried nothing may yet turn out to be for health checks: wait for
        `connected`, `disconnected` or `settled` before they are counted.
        """
        return [record for record in self.all_connections if record.counted]

    @property
    def open_connections(self) -> list[Connection]:
        """Those of `connections` that are open."""
        return [record for record in self.connections if record.closed is None]

    async def arrived(self, count: int, bound: float = bounds.PROMPT) -> list[Arrival]:
        """Wait until `count` calls arrived in all, and return all that did.

        Raises:
            NonConformance: fewer did within `bound` seconds.
        """
        await until(
            lambda: len(self.arrivals) >= count,
            bound=bound,
            what=f"{count} calls arrive at {self.name}",
            seen=lambda: self.arrivals,
        )
        return list(self.arrivals)

    async def connected(self, count: int = 1, bound: float = bounds.PROMPT) -> list[Connection]:
        """Wait until `count` connections were made in all and none is new; return `connections`.

        Raises:
            NonConformance: fewer were within `bound` seconds.
        """
        await until(
            lambda: self._settled() and len(self.connections) >= count,
            bound=bound + SETTLE,
            what=f"{count} connections to {self.name}",
            seen=lambda: self.all_connections,
        )
        return self.connections

    async def disconnected(
        self, count: int | None = None, bound: float = bounds.PROMPT
    ) -> list[Connection]:
        """Wait until `count` of the connections, or all, are closed; return `connections`.

        Raises:
            NonConformance: fewer were within `bound` seconds; for all: or there was none.
        """

        def closed() -> bool:
            wanted = max(len(self.connections), 1) if count is None else count
            return len(self.connections) - len(self.open_connections) >= wanted

        await until(
            lambda: self._settled() and closed(),
            bound=bound + SETTLE,
            what=f"{'all' if count is None else count} connections to {self.name} are closed",
            seen=lambda: self.all_connections,
        )
        return self.connections

    async def settled(self) -> list[Connection]:
        """Wait until no connection is so new that it may be for a health check."""
        return await self.connected(0)

    async def calls_by_connection(self) -> list[int]:
        """Return how many calls came over each of `connections`, once none is new."""
        return [len(record.paths) for record in await self.settled()]

    async def checked(self) -> None:
        """Wait until a health check was answered.

        Raises:
            NonConformance: none was.
        """
        await until(
            lambda: any(check.answered is not None for check in self.checks),
            bound=bounds.PROMPT,
            what=f"the health of {self.name} is checked",
            seen=lambda: self.all_connections,
        )

    def story(self) -> str:
        """Tell what came and went, one JSON object a line, as the timeline merges it."""
        calls = [*self.arrivals, *self.checks]
        return story(self.name, self.all_connections, calls, time.time() - time.monotonic())

    def _settled(self) -> bool:
        newest = time.monotonic() - SETTLE - bounds.JITTER.seconds
        return all(
            record.paths or record.closed is not None or record.opened < newest
            for record in self.all_connections
        )

    def _accepted(self, served: PeerConnection) -> Connection:
        self._served.append(served)
        return Connection(number=len(self._served), opened=time.monotonic())

    async def _drop_all(self) -> None:
        """Close every connection at once, and wait until nothing of it is left."""
        for served in self._served:
            served.abort()
        for served in self._served:
            await served.lost.wait()
            await served.tasks_done()
