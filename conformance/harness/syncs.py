"""Requests to make data durable: counted, and refused where a test wants it.

fsync, fdatasync and their like are asked about by the kernel before it does them (seccomp's user
notification); whoever asked waits meanwhile. So a disk that fails can be had without one.
"""

import asyncio
import errno
import fcntl
import os
import platform
import secrets
import select
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from . import syncs_watched
from .judging import did, not_run
from .processes import Process, environment

_WRAPPER = (sys.executable, "-S", "-E", syncs_watched.__file__)

_ASKED, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
"""struct seccomp_notif and seccomp_notif_resp."""
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_GO_ON = 1
_MS_SYNC = 4

_NAMES = {
    number: name for name, number in syncs_watched.NUMBERS.get(platform.machine(), {}).items()
}

_SOON = 10.0
"""Seconds for a process to try it; seen: 0.1."""

_TRY = """
import errno, os

directory = os.open("/", os.O_RDONLY)
try:
    os.fsync(directory)
except OSError as error:
    assert error.errno == errno.EIO, error
else:
    raise AssertionError("nothing is refused")
"""


class Syncs:
    """The requests of the processes that were started with `wrapper`.

    Args:
        address: of the abstract Unix socket at which listeners are taken.
    """

    def __init__(self, address: str) -> None:
        """Begin with none, and let all of them through."""
        self.wrapper: Sequence[str] = (*_WRAPPER, address)
        """Command that executes the one it is followed by, and is followed by requests of it."""
        self.seen: Counter[str] = Counter()
        """How many there were of a `file`, and how many of a `directory`."""
        self.refused: frozenset[str] = frozenset()
        """Those of which kind fail, with EIO."""
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        self._socket.bind(f"\0{address}")
        self._socket.listen()
        self._loop.add_reader(self._socket, self._take)
        self._listeners: set[int] = set()

    def __repr__(self) -> str:
        """Show what was asked for."""
        return f"Syncs({dict(self.seen)}, refused={sorted(self.refused)})"

    def refuse(self, *kinds: str) -> None:
        """Let requests of these kinds fail from now on, and no others."""
        did(f"syncs of these fail with EIO from now on: {', '.join(kinds) or 'none'}")
        self.refused = frozenset(kinds)

    def close(self) -> None:
        """Answer no more; who asks then is told that there is no such system call."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for listener in list(self._listeners):
            self._drop(listener)

    def _take(self) -> None:
        """Take the listener of a process that starts."""
        connection, _ = self._socket.accept()
        with connection:
            # It is sent at once after the connect, or never: the wrapper failed.
            connection.settimeout(1.0)
            _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        for listener in descriptors:
            self._listeners.add(listener)
            self._loop.add_reader(listener, self._answer, listener)

    def _answer(self, listener: int) -> None:
        """Let one request through, or refuse it."""
        # To ask for one when there is none would wait for it.
        ready = select.poll()
        ready.register(listener, select.POLLIN)
        if not any(event & select.POLLIN for _, event in ready.poll(0)):
            self._drop(listener)  # nobody is left who could ask
            return
        asked = bytearray(_ASKED.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, asked)
        except FileNotFoundError:
            return  # who asked was killed
        token, thread, _, number, _, _, *arguments = _ASKED.unpack(asked)
        kind = _kind(thread, number, arguments)
        if kind:
            self.seen[kind] += 1
        refused = kind in self.refused
        answer = _ANSWER.pack(token, 0, -errno.EIO if refused else 0, 0 if refused else _GO_ON)
        with suppress(FileNotFoundError):  # who asked was killed meanwhile
            fcntl.ioctl(listener, _SEND, answer)

    def _drop(self, listener: int) -> None:
        self._loop.remove_reader(listener)
        self._listeners.discard(listener)
        os.close(listener)


@asynccontextmanager
async def syncs() -> AsyncIterator[Syncs]:
    """Give what is asked for by whoever is started with its wrapper, for the length of a block.

    Raises:
        NotRun: this host lets nobody be asked.
    """
    if problem := await _trouble():
        not_run(f"requests to make data durable cannot be refused here: {problem}")
    asked = Syncs(_address())
    try:
        yield asked
    finally:
        asked.close()


def writes_through(process: Process) -> str:
    """Return the file that a process writes durably without asking; empty: none that is seen."""
    for member in process.family():
        for entry in _entries(Path(f"/proc/{member.pid}/fd")):
            with suppress(OSError):
                target = str(entry.readlink())
                flags = (entry.parent.parent / "fdinfo" / entry.name).read_text(encoding="ascii")
                through = int(flags.split("flags:")[1].split()[0], 8) & os.O_DSYNC
                if "[io_uring]" in target or (through and target.startswith("/")):
                    return target
    return ""


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _kind(thread: int, number: int, arguments: Sequence[int]) -> str:
    """Return what is to be made durable; empty: nothing, it need not be waited for."""
    name = _NAMES[number]
    if name == "msync":
        return "file" if arguments[2] & _MS_SYNC else ""
    return "directory" if Path(f"/proc/{thread}/fd/{arguments[0]}").is_dir() else "file"


def _address() -> str:
    """Return an address that nobody has."""
    return f"blackhole-conformance-{secrets.token_hex(8)}"


async def _trouble() -> str:
    """Do once what is done to a service; return what is wrong with it, empty: nothing."""
    global _known  # noqa: PLW0603 - a host does not change while it is looked at
    if _known is None:
        _known = await _tried()
    return _known


_known: str | None = None


async def _tried() -> str:
    if platform.machine() not in syncs_watched.NUMBERS:
        return f"the numbers of its system calls are not known ({platform.machine()})"
    asked = Syncs(_address())
    asked.refuse("directory")
    command = (*asked.wrapper, sys.executable, "-S", "-E", "-c", _TRY)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment({})
    )
    try:
        _, errors = await asyncio.wait_for(process.communicate(), _SOON)
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"nothing ends within {_SOON:g} s"
    finally:
        asked.close()
    told = errors.decode(errors="replace").strip().splitlines() or ["?"]
    return told[-1] if process.returncode else ""
