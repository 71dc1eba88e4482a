"""Does what toxics decide: a stage for each, with a pipe before it and one behind."""

import asyncio
import time
from collections import deque

from .decisions import FOREVER, Chunk, Decision, End, Send, Step


class Pipe:
    """Chunks on their way from one task to the next, no more of them than there is room for."""

    def __init__(self) -> None:
        """Start empty, with room for one."""
        self.room = 1
        self.chunks: deque[Chunk] = deque()
        self.ended = False
        self.came = asyncio.Event()
        """Set when a chunk comes, or the end, or whenever its reader is to look again."""
        self._left = asyncio.Event()

    def __repr__(self) -> str:
        """Show what is in it."""
        return f"Pipe({len(self.chunks)} chunks{', ended' if self.ended else ''})"

    async def put(self, chunk: Chunk) -> None:
        """Put a chunk in, once there is room."""
        while len(self.chunks) >= self.room:
            self._left.clear()
            await self._left.wait()
        self.chunks.append(chunk)
        self.came.set()

    def end(self) -> None:
        """Say that nothing more comes."""
        self.ended = True
        self.came.set()

    def take(self) -> Chunk | None:
        """Return the next chunk; None: there is none now."""
        self._left.set()
        return self.chunks.popleft() if self.chunks else None

    async def next(self) -> Chunk | None:
        """Wait for the next chunk, and return it; None: the end has come."""
        while (chunk := self.take()) is None and not self.ended:
            self.came.clear()
            await self.came.wait()
        return chunk


class Stage:
    """One toxic on one connection and direction; without one it passes everything on.

    Where a toxic is removed its stage stays, and serves the next one: nothing that is under way
    has to change its path.
    """

    def __init__(self, source: Pipe, sink: Pipe) -> None:
        """Stand between two pipes."""
        self.source = source
        self.sink = sink
        self.decision: Decision | None = None
        self._held: deque[Step] = deque()

    def __repr__(self) -> str:
        """Show the toxic, and what it holds back."""
        return f"Stage({type(self.decision).__name__}, holds {len(self._held)})"

    def decide(self, decision: Decision | None) -> None:
        """Do something else from now on; what was held back goes on at once."""
        self.decision = decision
        self._held = deque(
            Send(one.chunk) if isinstance(one, Send) else End() for one in self._held
        )
        self.source.room = decision.ahead if decision else 1
        self.source.came.set()

    async def run(self) -> None:
        """Pass on what comes, as it is decided, until it ends."""
        while not await self._turn(time.monotonic()):
            pass
        self.sink.end()

    async def _turn(self, now: float) -> bool:
        """Do what is due, or wait for what is due next; return whether all is over."""
        self.source.came.clear()
        decision = self.decision
        if self._held:
            return await self._step(now)
        if (chunk := self.source.take()) is not None:
            if decision is None:
                await self.sink.put(chunk)
            else:
                decision.latest = now
                self._held.extend(decision.take(chunk, now))
        elif self.source.ended:
            if decision is None:
                return True
            self._held.extend(decision.end(now))
        elif decision is not None and decision.expires <= now:
            return True
        else:
            await self._rest((decision.expires if decision else FOREVER) - now)
        return False

    async def _step(self, now: float) -> bool:
        """Do the first of the steps that are decided, or wait until it is due."""
        step = self._held[0]
        if step.at > now:
            await self._rest(step.at - now)
            return False
        self._held.popleft()
        if isinstance(step, End):
            return True
        await self.sink.put(step.chunk)
        return False

    async def _rest(self, seconds: float) -> None:
        """Wait, until something comes or is decided anew at the latest."""
        if seconds == FOREVER:
            await self.source.came.wait()
            return
        timer = asyncio.get_running_loop().call_later(seconds, self.source.came.set)
        try:
            await self.source.came.wait()
        finally:
            timer.cancel()
