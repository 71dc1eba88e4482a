"""Both ends of a proxy: where it listens, and where it connects to, on TCP or Unix sockets."""

import asyncio
import errno
import os
import re
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .refusals import Refusal, bad

BACKLOG = 1024
"""Connections that may wait to be accepted."""

CHUNK = 32 << 10
"""Bytes that are read at once at most, as Toxiproxy does."""

_NO_LINGER = struct.pack("ii", 1, 0)
_UNIX = re.compile(r"unix:(?://(?=/))?(?P<path>.+)", re.DOTALL)
_TCP = re.compile(r"(?P<host>.*):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class End:
    """An address: `host:port`, `unix:/path`, `unix:///path` or `unix:@abstract`."""

    family: socket.AddressFamily
    address: Any
    """As the system takes it."""
    text: str
    """As it was given, or became known."""

    @property
    def path(self) -> Path | None:
        """Where the socket's file is; None: there is none."""
        unix = self.family == socket.AF_UNIX and not self.address.startswith("\0")
        return Path(self.address) if unix else None


def end(text: str, *, field: str) -> End:
    """Return the address that a text means; empty: a port of 127.0.0.1 that the system chooses.

    Toxiproxy listens at all interfaces then.

    Raises:
        Refusal: it is none.
    """
    if match := _UNIX.fullmatch(text):
        path = match["path"]
        address = "\0" + path[1:] if path.startswith("@") else path
        return End(socket.AF_UNIX, address, text)
    if (match := _TCP.fullmatch(text or "127.0.0.1:0")) and int(match["port"]) < 1 << 16:
        host = match["host"].strip("[]") or "127.0.0.1"
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return End(family, (host, int(match["port"])), text)
    raise bad(f"{field}: {text!r} is neither host:port nor unix:path")


def listen(where: End, mode: int | None) -> tuple[socket.socket, End]:
    """Listen, and return the socket and where that is.

    A Unix socket's file appears when it already accepts, in the place of one that nobody listens
    at any more.

    Args:
        where: the address.
        mode: of the file; None: what the process' mask makes of it.

    Raises:
        Refusal: that is impossible; the message is like Toxiproxy's.
    """
    listener = socket.socket(where.family, socket.SOCK_STREAM)
    listener.setblocking(False)
    try:
        if (path := where.path) is not None:
            _listen_at_path(listener, path, mode)
            return listener, where
        if where.family != socket.AF_UNIX:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where.address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        kind = "unix" if where.family == socket.AF_UNIX else "tcp"
        reason = (error.strerror or str(error)).lower()
        told = where.text.removeprefix("unix:")
        raise Refusal(500, f"listen {kind} {told}: bind: {reason}") from error
    if where.family == socket.AF_UNIX:
        return listener, where
    host, port = listener.getsockname()[:2]
    text = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return listener, End(where.family, (host, port), text)


async def connect(where: End) -> socket.socket:
    """Connect, and return the socket.

    Raises:
        OSError: nobody accepts.
    """
    made = socket.socket(where.family, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(made, where.address)
    except BaseException:
        made.close()
        raise
    without_delay(made)
    return made


def without_delay(connection: socket.socket) -> None:
    """Let each chunk leave at once."""
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def readable(connection: socket.socket) -> None:
    """Wait until something can be read, and leave it there."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(connection, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(connection)


def has_data(connection: socket.socket) -> bool:
    """Tell whether bytes wait to be read, and neither the end nor an error."""
    with suppress(OSError):
        return bool(connection.recv(1, socket.MSG_PEEK))
    return False


def shut(connection: socket.socket) -> None:
    """Say that the connection is over, in both directions; its descriptor stays."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def close(connection: socket.socket, *, reset: bool) -> None:
    """Close a socket, by RST or in good order.

    A Unix socket knows no RST. Its other side gets ECONNRESET when something was left unread,
    and so does that of a TCP socket: in good order nothing may be left.
    """
    if reset and connection.family != socket.AF_UNIX:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    elif not reset:
        shut(connection)
        with suppress(OSError):
            while connection.recv(CHUNK):
                pass
    connection.close()


def _listen_at_path(listener: socket.socket, path: Path, mode: int | None) -> None:
    if path.is_socket() and not _accepts(path):
        path.unlink()
    elif path.exists() or path.is_symlink():
        raise OSError(errno.EADDRINUSE, "address already in use")
    # Shorter than most names: a path of 108 bytes is none.
    hidden = path.with_name(f".{os.getpid()}")
    hidden.unlink(missing_ok=True)
    listener.bind(str(hidden))
    try:
        if mode is not None:
            hidden.chmod(mode)
        listener.listen(BACKLOG)
        hidden.rename(path)
    except OSError:
        hidden.unlink(missing_ok=True)
        raise


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True
