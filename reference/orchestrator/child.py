"""The process of a service: in a session and group of its own, with its limits."""

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.py")

BARE = (sys.executable, "-I", "-S")
"""An interpreter that starts in 10 ms: without site-packages."""


class Child:
    """One process that was started, and its group. It waits until it may `begin`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Take a process that leads a group."""
        self._process = process
        self.pid = process.pid

    def __repr__(self) -> str:
        """Show the process, and how it ended."""
        return f"Child({self.pid}, ended={self._process.returncode})"

    @classmethod
    async def spawn(cls, command: Sequence[str], limits: Mapping[int, int]) -> "Child":
        """Start what will be a command with limits, soft and hard alike, by the kernel's numbers.

        Raises:
            OSError: the command cannot be executed, or there can be no other process.
        """
        if shutil.which(command[0]) is None:
            raise FileNotFoundError(errno.ENOENT, "cannot be executed", command[0])
        told = ",".join(f"{kind}={number}" for kind, number in limits.items())
        launch = (*BARE, str(LAUNCHER), told, *command)
        return cls(
            await asyncio.create_subprocess_exec(
                *launch, stdin=subprocess.PIPE, start_new_session=True
            )
        )

    def begin(self) -> None:
        """Let it become the command: whoever must know of it does."""
        if (stdin := self._process.stdin) is not None:
            stdin.write(b"1")
            stdin.close()

    @property
    def alive(self) -> bool:
        """Whether the process, which leads the group, has not ended."""
        return self._process.returncode is None

    def leads(self, pid: int) -> bool:
        """Tell whether a process belongs to the group."""
        try:
            return os.getpgid(pid) == self.pid
        except ProcessLookupError:
            return False

    async def ended(self) -> str:
        """Wait for the end of the process, and end what is left of its group; say how it ended."""
        status = await self._process.wait()
        # Its stray children go with it, before another one takes its place (ORC-12).
        self.signal_group(signal.SIGKILL)
        if status < 0:
            return f"ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def terminate(self) -> None:
        """Ask the process, and nobody else, to end."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def end(self, grace: float) -> None:
        """End it by SIGTERM, and by SIGKILL of the group when it takes longer than `grace`."""
        self.terminate()
        try:
            async with asyncio.timeout(grace):
                await self._process.wait()
        except TimeoutError:
            self.signal_group(signal.SIGKILL)
            await self._process.wait()
