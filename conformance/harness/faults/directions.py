"""One direction of one connection: what is read at one end passes its toxics to the other."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from . import ends
from .attributes import Settings
from .decisions import MILLISECOND, Chunk, Decision, decision
from .stages import Pipe, Stage


@dataclass(slots=True)
class Count:
    """Bytes of one direction."""

    received: int = 0
    sent: int = 0

    def told(self) -> dict[str, int]:
        """Return it as the API tells it."""
        return {"received": self.received, "sent": self.sent}


@dataclass(slots=True)
class _Toxic:
    """A toxic that this connection has."""

    settings: Settings
    chance: Random
    decision: Decision | None
    """None: it acts before anything is read."""
    stage: Stage | None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Direction:
    """One direction.

    Args:
        source: where is read.
        sink: where is written.
        counts: take the bytes: the connection's and the proxy's.
        record: takes what is read; None: nobody wants to know.
        broken: is told how the connection is to end at once.
    """

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        counts: tuple[Count, ...],
        record: bytearray | None,
        broken: Callable[[bool], object],
    ) -> None:
        """Begin without toxics."""
        self._source = source
        self._sink = sink
        self._counts = counts
        self._record = record
        self._broken = broken
        self._out = Pipe()
        self._first = self._out
        self._stages: list[Stage] = []
        self._toxics: dict[str, _Toxic] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        """Show the stages."""
        return f"Direction({self._stages})"

    def add(self, settings: Settings, chance: Random) -> None:
        """Have a toxic, behind all others."""
        toxic = _Toxic(settings, chance, None, None)
        self._toxics[settings.name] = toxic
        if settings.type == "reset_peer":
            return
        toxic.stage = self._last()
        toxic.decision = decision(settings, chance, time.monotonic())
        toxic.stage.decide(toxic.decision)

    def update(self, settings: Settings) -> None:
        """Have a toxic that it has with other attributes."""
        toxic = self._toxics[settings.name]
        toxic.settings = settings
        toxic.changed.set()
        if toxic.stage is not None:
            before = toxic.decision
            toxic.decision = decision(settings, toxic.chance, time.monotonic(), before)
            toxic.stage.decide(toxic.decision)

    def remove(self, name: str) -> None:
        """Have a toxic no more; without one of that name nothing happens."""
        if (toxic := self._toxics.pop(name, None)) is None:
            return
        toxic.changed.set()
        if toxic.stage is not None:
            toxic.stage.decide(None)
        if toxic.decision is not None and toxic.decision.removal_ends:
            self._broken(False)

    def has(self, name: str) -> bool:
        """Tell whether it has a toxic of that name."""
        return name in self._toxics

    async def run(self) -> None:
        """Pass on what comes until either end ends; then the sink is told so."""
        self._begin(self._read())
        try:
            with suppress(OSError):
                await self._write()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        # Not where it is broken off: FIN would come before RST.
        ends.shut(self._sink)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    def _last(self) -> Stage:
        """Return a stage behind all others that does nothing yet."""
        if self._stages and self._stages[-1].decision is None:
            return self._stages[-1]
        stage = Stage(Pipe(), self._out)
        if self._stages:
            self._stages[-1].sink = stage.source
        else:
            self._first = stage.source
        self._stages.append(stage)
        self._begin(stage.run())
        return stage

    async def _read(self) -> None:
        with suppress(OSError):
            while (data := await self._received()) != b"":
                for count in self._counts:
                    count.received += len(data)
                if self._record is not None:
                    self._record += data
                await self._first.put(Chunk(data, time.monotonic()))
        self._first.end()

    async def _received(self) -> bytes:
        """Wait for something to read; while there is `reset_peer`, leave it unread, and reset."""
        while True:
            if not self._resets():
                with suppress(BlockingIOError):
                    return self._source.recv(ends.CHUNK)
            await ends.readable(self._source)
            if self._resets() and ends.has_data(self._source):
                await self._reset()
            elif self._resets():
                return b""

    async def _reset(self) -> None:
        """Wait for as long as `reset_peer` says, and reset, unless it is removed or changed."""
        toxic = self._resets()[0]
        toxic.changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(toxic.settings.attributes["timeout"] * MILLISECOND):
                await toxic.changed.wait()
                return
        self._broken(True)
        await asyncio.get_running_loop().create_future()

    def _resets(self) -> list[_Toxic]:
        return [one for one in self._toxics.values() if one.settings.type == "reset_peer"]

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while (chunk := await self._out.next()) is not None:
            await loop.sock_sendall(self._sink, chunk.data)
            for count in self._counts:
                count.sent += len(chunk.data)
