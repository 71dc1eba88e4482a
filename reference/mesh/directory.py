"""The socket directory: what lies in it, who listens there, and when to look again.

An event of the watch is only a reason to look: several may stand for one change,
some get lost when the queue is full, and what they tell is over when it is read.
"""

import asyncio
import os
import re
import socket
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from asyncinotify import Inotify, Mask
from semver import Version

from ..config.client import SERVICE_NAME
from .telemetry import logging

Service = tuple[str, str]
"""Name and version; the version is empty when the name of the socket has none."""

Identity = tuple[int, int, int]
"""What tells a socket from the one that was at its path before: device, inode, birth in ns.

ext4 gives the number of a removed inode to the next one, so the number alone is
not enough. Nobody writes to a socket's inode: its mtime is when it was bound,
and neither a rename nor a change of its mode alters that.
"""

WATCHED = (
    Mask.CREATE
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
    | Mask.ONLYDIR
)

EVENTS = 256
"""Events that are read at once; each with the longest name takes 272 bytes."""

REMEMBERED = 4096
"""Names of files whose meaning is remembered; reading one anew takes 5 us."""

_FILE = re.compile(rf"({SERVICE_NAME.pattern})(?:@(.+))?\.sock")

_PEER = struct.Struct("3i")
"""Struct ucred: process, user, group."""


@lru_cache(REMEMBERED)
def service_of(file: str) -> Service | None:
    """Return the service whose socket has this file name; None when no service's has."""
    if not (match := _FILE.fullmatch(file)):
        return None
    name, version = match.groups(default="")
    return None if version and not Version.is_valid(version) else (name, version)


def file_of(service: Service) -> str:
    """Return the file name of a service's socket."""
    return "@".join(filter(None, service)) + ".sock"


def identity_of(path: Path, *, follow: bool = False) -> Identity | None:
    """Return which socket is at a path; None when none is.

    Args:
        path: where to look.
        follow: a symbolic link to a socket counts.
    """
    try:
        found = path.stat(follow_symlinks=follow)
    except (OSError, ValueError):  # ValueError: a NUL in it
        return None
    if not stat.S_ISSOCK(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def listener(path: Path) -> int:
    """Return the process that listens at a socket (SO_PEERCRED); 0 when that cannot be told.

    Raises:
        OSError: nobody does, or not for us.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fsencode(path))
        except BlockingIOError:
            # A full backlog: somebody listens, who is slow.
            return 0
        peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        return int(_PEER.unpack(peer)[0])


class SocketDirectory:
    """A directory that is watched while it is there.

    Args:
        path: the directory.
        disturbed: called when there is a reason to look again.
    """

    def __init__(self, path: Path, disturbed: Callable[[], None]) -> None:
        """Nothing is watched before the first `look`."""
        self.path = path
        self._disturbed = disturbed
        self._inotify: Inotify | None = None
        self._reader: asyncio.Task[None] | None = None
        self._trouble = ""

    def __repr__(self) -> str:
        """Show the path, and what is wrong with it."""
        state = self._trouble or ("watched" if self._inotify else "not watched")
        return f"SocketDirectory({str(self.path)!r}, {state})"

    def look(self, known: Iterable[Service] = ()) -> dict[Service, Identity]:
        """Return the sockets of services that are in the directory; watch it from now on.

        Args:
            known: services whose sockets were there. One that is renamed while the
                directory is read may be missing there: these are looked at one by one.
        """
        found: dict[Service, Identity] = {}
        trouble = ""
        # First the watch, then the look: what changes in between is looked at once more.
        try:
            self._watch_what_there_is()
        except OSError as error:
            trouble = f"{self.path}: {error.strerror}"
        try:
            found.update(self._listed())
        except OSError as error:
            trouble = f"{self.path}: {error.strerror}"
        self._tell(trouble)
        for service in known:
            if service not in found and (identity := identity_of(self.path / file_of(service))):
                found[service] = identity
        return found

    async def close(self) -> None:
        """Watch no longer."""
        if self._reader:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        if self._inotify:
            self._inotify.close()
            self._inotify = None

    def _listed(self) -> Iterator[tuple[Service, Identity]]:
        with os.scandir(self.path) as entries:
            for entry in entries:
                if (service := service_of(entry.name)) and (
                    identity := identity_of(self.path / entry.name)
                ):
                    yield service, identity

    def _watch_what_there_is(self) -> None:
        """Watch the directory; while it is not there, the one in which it will be made.

        Raises:
            OSError: it cannot be watched.
        """
        try:
            self._watch(self.path)
        except FileNotFoundError:
            with suppress(OSError):
                self._watch(self.path.parent)
            # It may have been made between the two.
            self._watch(self.path)

    def _watch(self, path: Path) -> None:
        """Watch the directory that is at a path now, and no other: it may be another than before.

        Raises:
            OSError: it cannot be watched.
        """
        if self._inotify is None:
            self._inotify = Inotify(cache_size=EVENTS)
            self._reader = asyncio.create_task(self._read(self._inotify))
        # The kernel knows a directory that is watched already, and changes nothing then.
        watch = self._inotify.add_watch(path, WATCHED)
        for other in self._inotify.watches:
            if other is not watch:
                # One that was removed has taken its watch along.
                with suppress(OSError):
                    self._inotify.rm_watch(other)

    async def _read(self, inotify: Inotify) -> None:
        """Pass on that there are events, until cancelled or broken."""
        try:
            async for _ in inotify:
                self._disturbed()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look watches anew
            self._tell(f"{self.path}: {error!r}")
            self._inotify = None
            inotify.close()

    def _tell(self, trouble: str) -> None:
        """Log a trouble once, not at each look."""
        if trouble and trouble != self._trouble:
            logging.logger().warning("trouble with the socket directory", error=trouble)
        self._trouble = trouble
