"""Processes of the implementation: started, watched, signalled, ended.

Every process has its own process group, a scrubbed environment, and files that
take what it prints, so that nobody has to read for it to go on.
"""

import asyncio
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from . import bounds
from .implementation import Implementation, ManifestError
from .judging import NonConformance, did
from .starvation import STARVATION

TAIL = 32
"""Lines of each stream that a failed start shows."""

_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended."""

    status: int
    elapsed: float
    """Seconds from the start, or from the signal that ended it."""
    stderr: str

    def says(self, *words: str) -> bool:
        """Tell whether some line of standard error holds one of the words."""
        return any(word in line for line in self.stderr.splitlines() for word in words)


@dataclass(frozen=True, slots=True)
class Streams:
    """Where a process' output goes, if not to files of its own."""

    stdout: int | IO[bytes]
    stderr: int | IO[bytes]


class Process:
    """One process that the suite started."""

    def __init__(self, popen: subprocess.Popen[bytes], name: str, logs: Path) -> None:
        """Take charge of a process whose output goes to `logs`."""
        self._popen = popen
        self._logs = logs
        self._signalled: float | None = None
        self.name = name
        self.started = time.monotonic()

    def __repr__(self) -> str:
        """Show the process and its state."""
        return f"Process({self.name!r}, pid={self.pid}, status={self._popen.poll()})"

    @property
    def pid(self) -> int:
        """Process ID, also of its group."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    @property
    def status(self) -> int | None:
        """Exit status (negative: the signal), None while it runs."""
        return self._popen.poll()

    @property
    def stderr(self) -> str:
        """All that it wrote to standard error so far."""
        return _text(self._logs / f"{self.name}.stderr")

    @property
    def stdout(self) -> str:
        """All that it wrote to standard output so far."""
        return _text(self._logs / f"{self.name}.stdout")

    @property
    def command(self) -> str:
        """The command line, ready to be run by hand."""
        return shlex.join(str(word) for word in self._popen.args)  # type: ignore[union-attr]

    def family(self) -> list[psutil.Process]:
        """Return the process and its living descendants."""
        try:
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        did(f"sent {number.name} to {self.name}")
        self._signalled = time.monotonic()
        self._popen.send_signal(number)

    async def ended(self, bound: float) -> Exit:
        """Wait for the process to end by itself.

        Raises:
            NonConformance: it still runs after `bound` seconds.
            Inconclusive: it does, but the host let it wait for a CPU.
        """
        begin = time.monotonic()
        if not await self._wait(bound + bounds.JITTER.seconds):
            bounds.late(
                f"{self.name}: end of the process",
                bound=bound,
                since=begin,
                seen=lambda: "still running",
            )
        return self._exit()

    async def end(self, grace: float) -> Exit:
        """End the process by the ladder: SIGTERM, grace, SIGQUIT for a dump, SIGKILL to the group.

        Raises:
            NonConformance: SIGTERM was not enough.
        """
        if not self.alive:
            self._kill_group()
            return self._exit()
        self._signalled = time.monotonic()
        self._popen.send_signal(signal.SIGCONT)
        self._popen.send_signal(signal.SIGTERM)
        if await self._wait(grace + bounds.STOP + bounds.JITTER.seconds):
            self._kill_group()
            return self._exit()
        self._popen.send_signal(signal.SIGQUIT)
        await self._wait(bounds.DUMP)
        self._kill_group()
        await self._wait(bounds.PROMPT)
        raise NonConformance(
            what=f"{self.name}: end of the process after SIGTERM",
            expected=f"within the grace period of {grace:g} s and {bounds.STOP:g} s more",
            observed="still running; had to be killed",
        )

    async def kill(self) -> None:
        """Send SIGKILL to the process group, and wait until the process is gone."""
        self._kill_group()
        await self._wait(bounds.PROMPT)

    def story(self) -> str:
        """Tell how to run it by hand, how it ended, and the end of what it printed."""
        state = "still running" if self.alive else f"exit status {self.status}"
        return "\n".join(
            (
                f"command: {self.command}",
                f"state:   {state}",
                f"--- last {TAIL} lines of standard output",
                *self.stdout.splitlines()[-TAIL:],
                f"--- last {TAIL} lines of standard error",
                *self.stderr.splitlines()[-TAIL:],
            )
        )

    def _exit(self) -> Exit:
        status = self._popen.wait()
        since = self.started if self._signalled is None else self._signalled
        return Exit(status=status, elapsed=time.monotonic() - since, stderr=self.stderr)

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    async def _wait(self, bound: float) -> bool:
        """Wait until the process ended, at most `bound` seconds; tell whether it did."""
        if not self.alive:
            return True
        descriptor = os.pidfd_open(self.pid)
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(descriptor, gone.set)
        try:
            async with asyncio.timeout(bound):
                await gone.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        self._popen.wait()
        return True


def spawn(  # noqa: PLR0913 - a process is described by these
    implementation: Implementation,
    arguments: Sequence[str],
    *,
    name: str,
    logs: Path,
    umask: int = 0o022,
    streams: Streams | None = None,
    wrapper: Sequence[str] = (),
) -> Process:
    """Start the implementation in a role.

    Args:
        implementation: whose command to run.
        arguments: the role, as in the launch contract.
        name: what to call the process in stories and log files.
        logs: directory that takes what it prints.
        umask: file mode creation mask of the process.
        streams: standard output and error, if not files in `logs`.
        wrapper: command that executes the one it is followed by.

    Raises:
        ManifestError: the system refuses to execute the command.
    """
    command = [*wrapper, *implementation.command, *arguments]
    did(f"started {name}: {shlex.join(arguments)}")
    with (
        (logs / f"{name}.stdout").open("ab") as stdout,
        (logs / f"{name}.stderr").open("ab") as stderr,
    ):
        try:
            popen = subprocess.Popen(  # noqa: S603 - the user's own manifest names the command
                command,
                cwd=implementation.cwd,
                env=environment(implementation.env),
                stdin=subprocess.DEVNULL,
                stdout=streams.stdout if streams else stdout,
                stderr=streams.stderr if streams else stderr,
                start_new_session=True,
                umask=umask,
            )
        except OSError as error:
            raise ManifestError(
                f"{implementation.manifest}: command: {command[0]}: {error.strerror}"
            ) from error
    STARVATION.follow(popen.pid)
    return Process(popen, name, logs)


async def outliving(family: Sequence[psutil.Process]) -> list[str]:
    """Return who of a family that was ended is there still, by PID and command, and end them.

    Who is being killed has a moment.
    """
    end = time.monotonic() + bounds.PROMPT + bounds.JITTER.seconds
    while left := [one for one in family if _lives(one)]:
        if time.monotonic() > end:
            return [_put_down(one) for one in left]
        await asyncio.sleep(bounds.POLL)
    return []


def of_directory(directory: Path) -> list[psutil.Process]:
    """Return the processes whose command names something below a directory of the suite's."""
    inside = f"{directory}{os.sep}"
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(inside in word for word in process.info["cmdline"] or ())
    ]


def _put_down(process: psutil.Process) -> str:
    told = f"{process.pid}"
    with suppress(psutil.NoSuchProcess):
        told += f" {' '.join(process.cmdline())}"
        process.kill()
    return told


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def environment(additional: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process: what is kept of ours, and the manifest's."""
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return kept | dict(additional)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
