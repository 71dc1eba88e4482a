"""Sockets that listen from one moment to the next, and whoever connects to them."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

BACKLOG = 1024
"""Connections that may wait to be accepted: never a limit, as many as a kernel allows."""


class Listener:
    """Accepts connections until it is closed.

    Not asyncio's own server: that one forgets a connection that it accepted just before it was
    closed, and whoever made it waits forever.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Begin to accept, each connection with a protocol of its own, by TLS with a context."""
        self._context = context
        self._socket = listener
        self._socket.setblocking(False)
        self._protocol = protocol
        self._accepted: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._accept)

    async def close(self) -> None:
        """Accept no more; whoever waits to be accepted, or shakes hands, is sent away."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        if self._context is not None:
            # Who says nothing would be waited for a minute.
            for shaking in self._accepted:
                shaking.cancel()
        await asyncio.gather(*self._accepted, return_exceptions=True)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            made = self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._context)
            task = self._loop.create_task(made)
            self._accepted.add(task)
            task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._accepted.discard(task)
        if not task.cancelled():
            # Who breaks off, or cannot shake hands, is gone: there is nobody to tell.
            task.exception()


def listen_at_path(path: Path) -> socket.socket:
    """Return a Unix socket that listens at a path, which appears only when it already does.

    Between bind and listen a connect is refused, and a registry would see a dead socket.
    Whatever lies at the path is replaced.

    Raises:
        OSError: it cannot listen there.
    """
    hidden = path.with_name(f".{path.name}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        hidden.unlink(missing_ok=True)
        listener.bind(str(hidden))
        listener.listen(BACKLOG)
        hidden.rename(path)
    except OSError:
        listener.close()
        raise
    return listener


def listen_at_port(port: int) -> socket.socket:
    """Return a socket that is bound to a port of 127.0.0.1; 0 chooses one.

    Raises:
        OSError: it cannot be bound.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def inode(path: Path) -> int | None:
    """Return the number of the file at a path, None when there is none."""
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None
