"""The words for faults on the way: a proxy, and what stands behind it.

The API is called in threads. A loop that waited for it would wake its own timers late, by which
the suite would take this host for one that stalls.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .faults.toxiproxy import Proxy, Server, Toxic
from .judging import did
from .peer import Peer

STREAMS = ("upstream", "downstream")
"""From the client to the server, and back."""


class FaultProxy:
    """A proxy that a test can make bad."""

    def __init__(self, proxy: Proxy, *, records: bool = False) -> None:
        """Take a proxy that was made."""
        self._proxy = proxy
        self._records = records
        self.name: str = proxy.name

    def __repr__(self) -> str:
        """Show where it stands."""
        return f"FaultProxy({self._proxy})"

    @classmethod
    async def open(
        cls, server: Server, name: str, *, listen: str, upstream: str, **own: Any
    ) -> "FaultProxy":
        """Let a proxy listen.

        Args:
            server: of which it is one.
            name: of it.
            listen: where: `unix:/path` or `127.0.0.1:port`.
            upstream: whom it connects to.
            own: as `Server.create` takes it.
        """
        made = await asyncio.to_thread(server.create, upstream, name, listen, **own)
        return cls(made, records=bool(own.get("record")))

    async def close(self) -> None:
        """End it."""
        await asyncio.to_thread(self._proxy.destroy)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._proxy.listen.rpartition(":")[2])

    @property
    def path(self) -> Path:
        """The Unix socket that it listens at."""
        return Path(self._proxy.listen.removeprefix("unix:"))

    async def add(self, kind: str, stream: str = "downstream", **attributes: int) -> Toxic:
        """Have a toxic from now on."""
        did(f"{self.name}: {stream} {kind} {attributes or ''} from now on".replace("  ", " "))
        return await asyncio.to_thread(self._proxy.add_toxic, kind, stream, attributes=attributes)

    async def change(self, toxic: Toxic, **attributes: int) -> None:
        """Have a toxic with other attributes."""
        await asyncio.to_thread(toxic.update, **attributes)

    async def remove(self, toxic: Toxic) -> None:
        """Have a toxic no more."""
        did(f"{self.name}: no {toxic.stream} {toxic.type} any more")
        await asyncio.to_thread(toxic.remove)

    @asynccontextmanager
    async def toxic(
        self, kind: str, *streams: str, **attributes: int
    ) -> AsyncIterator[list[Toxic]]:
        """Have a toxic for as long as the context lasts, downstream or where it is said."""
        toxics = [await self.add(kind, one, **attributes) for one in streams or STREAMS[1:]]
        try:
            yield toxics
        finally:
            for toxic in toxics:
                await self.remove(toxic)

    @asynccontextmanager
    async def down(self, **own: Any) -> AsyncIterator[None]:
        """Be down for as long as the context lasts."""
        did(f"{self.name}: down {own or ''}".rstrip())
        await asyncio.to_thread(self._proxy.disable, **own)
        try:
            yield
        finally:
            did(f"{self.name}: up again")
            await asyncio.to_thread(self._proxy.enable)

    async def drop_connections(self) -> None:
        """Close every connection, and go on listening."""
        did(f"{self.name}: drops every connection")
        await asyncio.to_thread(self._proxy.drop_connections)

    async def sent(self, stream: str) -> int:
        """Return how many bytes it has passed on; the suite's own proxy alone tells that."""
        told = (await asyncio.to_thread(self._proxy.refresh)).told
        return int(told["bytes"][stream]["sent"])

    async def recorded(self) -> dict[str, bytes | None]:
        """Return what passed on the latest connection, by stream; None: nobody recorded it."""
        if not self._records:
            return dict.fromkeys(STREAMS)
        latest = (await asyncio.to_thread(self._proxy.recorded))[-1]
        return dict(zip(STREAMS, latest, strict=True))


@dataclass(frozen=True, slots=True)
class Link:
    """The way from a mesh client to a peer, with a proxy on it."""

    name: str
    """Of the service that the peer plays."""
    peer: Peer
    proxy: FaultProxy
    wire: str
    """`unix` or `tcp`."""
