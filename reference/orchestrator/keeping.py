"""The orchestrator's end of the keeper's pipe."""

import asyncio
import subprocess
from contextlib import suppress
from pathlib import Path

from .child import BARE

KEEPER = Path(__file__).with_name("keeper.py")

HALF = 0.5
"""Part of `orphan_timeout` after which SIGTERM was not enough."""


class Keeping:
    """Tells the keeper which groups there are.

    Args:
        process: the keeper.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """No group is there yet."""
        self._process = process

    def __repr__(self) -> str:
        """Show the keeper."""
        return f"Keeping({self._process.pid})"

    @classmethod
    async def begin(cls, orphan_timeout: float) -> "Keeping":
        """Start the keeper.

        Args:
            orphan_timeout: seconds that a service may live after this process is gone.
        """
        return cls(
            await asyncio.create_subprocess_exec(
                *(*BARE, str(KEEPER), str(orphan_timeout * HALF)),
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        )

    def add(self, group: int) -> None:
        """A group is there."""
        self._tell(f"+{group}")

    def discard(self, group: int) -> None:
        """A group is gone."""
        self._tell(f"-{group}")

    async def end(self) -> None:
        """Let the keeper end: nothing is left to be kept."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    def _tell(self, line: str) -> None:
        # A line of ten bytes finds room in the pipe, and goes out at once.
        with suppress(ConnectionError):
            if self._process.stdin is not None:
                self._process.stdin.write(f"{line}\n".encode())
