"""A proxy: it listens, connects each who comes with its upstream, and has toxics."""

import asyncio
import re
import socket
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from . import ends
from .attributes import STREAMS, Settings, created, updated
from .connections import Connection
from .directions import Count
from .refusals import Refusal, bad

KEPT = 256
"""Connections that are over, and are told of still."""

_MODE = re.compile(r"0?[0-7]{3}")


@dataclass(frozen=True, slots=True)
class Place:
    """What a proxy is: where it listens, and whom it connects to."""

    name: str
    listen: str
    upstream: str
    enabled: bool = True
    # Ours, from here on.
    unlink: bool = True
    """Whether the file of a Unix socket goes when nobody listens any more."""
    mode: str = ""
    """Of that file, in octal; empty: as the process' mask has it."""
    record: bool = False
    """Whether what is read is kept, and told."""


_KINDS: Mapping[str, type] = {"enabled": bool, "unlink": bool, "record": bool}


def placed(body: Mapping[str, Any], before: Place | None = None) -> Place:
    """Return what a body asks for.

    Args:
        body: of JSON.
        before: what the proxy is, where it is to become another; its name stays.

    Raises:
        Refusal: a field is missing, or impossible.
    """
    place = before or Place("", "", "")
    for field in ("name", "listen", "upstream", "enabled", "unlink", "mode", "record"):
        if field not in body or (before and field == "name"):
            continue
        kind = _KINDS.get(field, str)
        if not isinstance(body[field], kind):
            raise bad(f"{field}: {body[field]!r} is no {'text' if kind is str else 'truth value'}")
        place = replace(place, **{field: body[field]})
    for field in ("name", "upstream"):
        if not getattr(place, field):
            raise Refusal(400, f"missing required field: {field}")
    if place.mode and not _MODE.fullmatch(place.mode):
        raise bad(f"mode: {place.mode!r} is none in octal")
    for field in ("listen", "upstream"):
        ends.end(getattr(place, field), field=field)
    return place


class Proxy:
    """One proxy; it does not listen before `start`.

    Args:
        place: what it is.
        seed: of its chance.
    """

    def __init__(self, place: Place, seed: int) -> None:
        """Begin without toxics."""
        self.place = place
        self._seed = f"{seed} {place.name}"
        self.toxics: dict[str, Settings] = {}
        self.counts = {stream: Count() for stream in STREAMS}
        self._listener: socket.socket | None = None
        self._inode: int | None = None
        self._made = 0
        self._running: dict[asyncio.Task[None], Connection] = {}
        self._over: deque[Connection] = deque(maxlen=KEPT)

    def __repr__(self) -> str:
        """Show what it is."""
        return f"Proxy({self.place}, {list(self.toxics)})"

    def told(self) -> dict[str, Any]:
        """Return it as the API tells it."""
        return {
            "name": self.place.name,
            "listen": self.place.listen,
            "upstream": self.place.upstream,
            "enabled": self.place.enabled,
            "toxics": [toxic.told() for toxic in self.toxics.values()],
            "bytes": {stream: count.told() for stream, count in self.counts.items()},
            "connections": self._made,
        }

    def connections(self) -> list[dict[str, Any]]:
        """Return its connections, in order, as the API tells them."""
        every = [*self._over, *self._running.values()]
        return [one.told() for one in sorted(every, key=lambda one: one.number)]

    def start(self) -> None:
        """Listen, if it is enabled.

        Raises:
            Refusal: it cannot; it is disabled then.
        """
        if not self.place.enabled or self._listener is not None:
            return
        where = ends.end(self.place.listen, field="listen")
        mode = int(self.place.mode, 8) if self.place.mode else None
        try:
            self._listener, found = ends.listen(where, mode)
        except Refusal:
            self.place = replace(self.place, enabled=False)
            raise
        self.place = replace(self.place, listen=found.text)
        self._inode = found.path.lstat().st_ino if found.path else None
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def stop(self) -> None:
        """Listen no more, and close every connection."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            path = ends.end(self.place.listen, field="listen").path
            with suppress(OSError):
                if path and self.place.unlink and path.lstat().st_ino == self._inode:
                    path.unlink()
        for running in list(self._running):
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def become(self, place: Place) -> None:
        """Be another; who changes its ends drops its connections.

        Raises:
            Refusal: it cannot listen there.
        """
        before, moved = self.place, False
        moved = (before.listen, before.upstream) != (place.listen, place.upstream)
        if self._listener is not None and (moved or not place.enabled):
            # How the file is left is for who stops it now to say.
            self.place = replace(before, unlink=place.unlink)
            await self.stop()
        self.place = place
        self.start()

    def add(self, body: Mapping[str, Any]) -> Settings:
        """Add a toxic, to connections that there are as well.

        Raises:
            Refusal: it is impossible, or there is one of that name.
        """
        toxic = created(body)
        if toxic.name in self.toxics:
            raise Refusal(409, "toxic already exists")
        self.toxics[toxic.name] = toxic
        for connection in self._running.values():
            connection.add(toxic)
        return toxic

    def toxic(self, name: str) -> Settings:
        """Return a toxic.

        Raises:
            Refusal: there is none of that name.
        """
        if name not in self.toxics:
            raise Refusal(404, "toxic not found")
        return self.toxics[name]

    def update(self, name: str, body: Mapping[str, Any]) -> Settings:
        """Change a toxic.

        Raises:
            Refusal: there is none of that name, or a value is impossible.
        """
        toxic = self.toxics[name] = updated(self.toxic(name), body)
        for connection in self._running.values():
            connection.update(toxic)
        return toxic

    def remove(self, name: str) -> None:
        """Remove a toxic.

        Raises:
            Refusal: there is none of that name.
        """
        self.toxic(name)
        del self.toxics[name]
        for connection in self._running.values():
            connection.remove(name)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            client.setblocking(False)
            self._made += 1
            connection = Connection(
                self._made, client, self.counts, self._seed, records=self.place.record
            )
            upstream = ends.end(self.place.upstream, field="upstream")
            # As a view: who comes while it connects finds the toxics of that time.
            task = asyncio.create_task(connection.run(upstream, self.toxics.values()))
            self._running[task] = connection
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._over.append(self._running.pop(task))
        if not task.cancelled() and (error := task.exception()) is not None:
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "a connection broke", "exception": error})
