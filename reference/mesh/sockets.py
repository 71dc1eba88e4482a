"""Unix sockets that are published safely (document: Local Communication; SOCK-2 to SOCK-8).

gRPC by itself binds with mode 0755, replaces whatever socket is at the path, a
live one included, and shows the path before it accepts. So it is given a private
name in the same directory, and the result is renamed into place.
"""

import errno
import fcntl
import grp
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LONGEST_PATH = 107
"""Bytes of a socket's path at most: sun_path less its final NUL."""

LOCK_TIMEOUT = 2.0
"""Seconds to wait for another process that publishes in the same directory; it takes 10 ms."""


class SocketError(Exception):
    """The socket's path cannot be used; the message holds the path."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """Modes and group of a socket and of the directory made for it."""

    socket: int
    directory: int
    group: int | None


def permissions(group: str) -> Permissions:
    """Return what `socket_group` asks for (SOCK-2).

    Raises:
        SocketError: there is no such group.
    """
    if not group:
        return Permissions(0o600, 0o700, None)
    try:
        number = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise SocketError(f"socket_group: there is no group {group!r}") from None
    return Permissions(0o660, 0o750, number)


class PublishedSocket:
    """The path of a service's socket, taken for as long as the service runs."""

    def __init__(self, path: Path, allowed: Permissions) -> None:
        """Nothing is touched before `publishing`."""
        self.path = path
        self._allowed = allowed
        # Never longer than a usual name, so that the longest path stays possible.
        self._private = path.with_name(f".{path.stem}")
        self._published: tuple[int, int] | None = None

    def __repr__(self) -> str:
        """Show the path, and whether it is ours."""
        return f"PublishedSocket({str(self.path)!r}, published={self._published is not None})"

    @contextmanager
    def publishing(self) -> Iterator[Path]:
        """Give the path to bind to; what listens there at the end is renamed into place.

        Raises:
            SocketError: the path cannot be used, or a live service has it.
        """
        check_length(self.path, self._private)
        make_directory(self.path.parent, self._allowed)
        with locked(self.path.parent):
            check_free(self.path)
            try:
                yield self._private
                self._private.chmod(self._allowed.socket)
                if self._allowed.group is not None:
                    os.chown(self._private, -1, self._allowed.group)
                self._published = _inode(self._private)
                self._private.rename(self.path)
            except OSError as error:
                raise SocketError(f"{self.path}: {error.strerror}") from error
            finally:
                self._private.unlink(missing_ok=True)

    def withdraw(self) -> None:
        """Remove the socket, if what is there is still ours."""
        if self._published is not None and _inode(self.path) == self._published:
            self.path.unlink()
        self._published = None


def check_length(*paths: Path) -> None:
    """Make sure that the kernel can bind to each path.

    Raises:
        SocketError: one is too long (SOCK-7).
    """
    for path in paths:
        if (length := len(os.fsencode(path))) > LONGEST_PATH:
            raise SocketError(
                f"{path}: a socket's path has {LONGEST_PATH} bytes at most, this one {length}:"
                " choose a shorter socket_dir"
            )


def make_directory(directory: Path, allowed: Permissions) -> None:
    """Make the directory if it is missing; refuse one that is open to all.

    Raises:
        SocketError: it cannot be made, or anybody could replace the socket in it.
    """
    try:
        if not directory.is_dir():
            _make(directory, allowed)
        mode = directory.stat().st_mode
    except OSError as error:
        raise SocketError(f"socket_dir: {directory}: {error.strerror}") from error
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise SocketError(f"socket_dir: {directory}: anybody can write to it")


def _make(directory: Path, allowed: Permissions) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        # Another process of the node, which starts too, was faster.
        if directory.is_dir():
            return
        raise
    if allowed.group is not None:
        os.chown(directory, -1, allowed.group)
    directory.chmod(allowed.directory)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory, so that nobody else checks or publishes in it meanwhile.

    Raises:
        SocketError: somebody else holds it all the time.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    end = time.monotonic() + LOCK_TIMEOUT
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise SocketError(f"{directory}: another process holds its lock") from None
                time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


def check_free(path: Path) -> None:
    """Make sure that nothing of worth is at the path; a stale socket is nothing of worth.

    Raises:
        SocketError: a live service has it, or it is no socket.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketError(f"{path}: is in the way, and no socket")
        if is_live(path):
            raise SocketError(f"{path}: a running service has this socket")


def is_live(path: Path) -> bool:
    """Tell whether somebody listens: a full backlog (EAGAIN) is somebody too (SOCK-6)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        outcome = probe.connect_ex(os.fsencode(path))
    return outcome not in (errno.ECONNREFUSED, errno.ENOENT)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
