"""The orchestrator's end of the keeper's pipe."""

import asyncio
import subprocess
from contextlib import suppress
from pathlib import Path

from ..mesh.telemetry.logging import logger
from .child import BARE

KEEPER = Path(__file__).with_name("keeper.py")

HALF = 0.5
"""Part of `orphan_timeout` after which SIGTERM was not enough."""

AGAIN = 0.1
"""Seconds from the end of a keeper that somebody killed to the next one."""


class Keeping:
    """Tells a keeper which groups there are, and sees to it that there is a keeper.

    Args:
        orphan_timeout: seconds that a service may live after this process is gone.
    """

    def __init__(self, orphan_timeout: float) -> None:
        """No group is there yet, nor a keeper: see `begin`."""
        self._patience = str(orphan_timeout * HALF)
        self._groups: set[int] = set()
        self._process: asyncio.subprocess.Process | None = None
        self._replacing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        """Show the keeper, and how many groups it knows."""
        return f"Keeping({self.pid}, groups={len(self._groups)})"

    @classmethod
    async def begin(cls, orphan_timeout: float) -> "Keeping":
        """Start the keeper."""
        keeping = cls(orphan_timeout)
        await keeping._start()
        keeping._replacing = asyncio.create_task(keeping._replace())
        return keeping

    @property
    def pid(self) -> int:
        """Process of the present keeper; 0 when there is none."""
        return self._process.pid if self._process else 0

    def add(self, group: int) -> None:
        """A group is there."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        """A group is gone."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    async def end(self) -> None:
        """Let the keeper end, and what it still keeps with it."""
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait([self._replacing])
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            await self._process.wait()

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(*BARE, str(KEEPER), self._patience), stdin=subprocess.PIPE, start_new_session=True
        )
        self._tell("".join(f"+{group}\n" for group in self._groups))

    async def _replace(self) -> None:
        """Start another keeper whenever one is gone: somebody killed it."""
        while self._process is not None:
            await self._process.wait()
            logger().warning("the keeper is gone, and is replaced", pid=self.pid)
            await asyncio.sleep(AGAIN)
            with suppress(OSError):
                await self._start()

    def _tell(self, lines: str) -> None:
        # A line of ten bytes finds room in the pipe, and goes out at once.
        with suppress(ConnectionError):
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.write(lines.encode())
