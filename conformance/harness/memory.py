"""How much memory a process of the implementation takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psutil

from . import bounds
from .processes import Process

MIB = 1 << 20


class Memory:
    """Resident memory of a process and those that it started, looked at again and again.

    Args:
        process: whose; those that it starts later are not counted.
    """

    def __init__(self, process: Process) -> None:
        """Note how much it is at first."""
        # The list of all processes takes too long to be read each time.
        self._family = process.family()
        self.first = self.most = self._now()
        """Bytes: at first, and the most that was seen."""

    def __repr__(self) -> str:
        """Show how much it grew."""
        return f"Memory({self.first / MIB:.1f} MiB at first, {self.most / MIB:.1f} MiB at most)"

    @property
    def growth(self) -> float:
        """MiB by which the most exceeds what it was at first."""
        return (self.most - self.first) / MIB

    def note(self) -> None:
        """Look at it once more."""
        self.most = max(self.most, self._now())

    def _now(self) -> int:
        total = 0
        for process in self._family:
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total


@asynccontextmanager
async def watched(process: Process) -> AsyncIterator[Memory]:
    """Look at the memory of a process all the while; what is given back meanwhile counts too."""
    memory = Memory(process)

    async def look() -> None:
        while True:
            memory.note()
            await asyncio.sleep(bounds.POLL)

    looking = asyncio.create_task(look())
    try:
        yield memory
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        memory.note()
