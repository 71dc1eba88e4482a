"""Many connections at once that do nothing, or half of what they should."""

import asyncio
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h2.config
import h2.connection
from google.protobuf.message import Message

from . import bounds
from .frames import call_headers, framed
from .judging import NonConformance

WAVE = 100
"""Connections that are made before others have their turn: fewer than any backlog holds."""


def greeting() -> bytes:
    """Return what a client sends first: preface and SETTINGS."""
    connection = _connection()
    return bytes(connection.data_to_send())


def half_a_request(path: str, request: Message) -> bytes:
    """Return a greeting, the headers of a call, and the first half of its message."""
    connection, body = _connection(), framed(request)
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, call_headers(path))
    connection.send_data(stream, body[: len(body) // 2])
    return bytes(connection.data_to_send())


class Crowd:
    """Connections to one Unix socket that say something once, and nothing more.

    Args:
        path: of the socket.
    """

    def __init__(self, path: Path) -> None:
        """Connect nobody yet."""
        self._path = path
        self._sockets: list[socket.socket] = []

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"Crowd({len(self._sockets)} connections to {self._path})"

    async def come(self, count: int, said: bytes) -> None:
        """Connect so many, each of which says the same.

        Raises:
            NonConformance: one is not accepted in time.
        """
        for number in range(count):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._sockets.append(connection)
            connection.setblocking(False)
            await bounds.until(
                lambda one=connection: self._connected(one),  # type: ignore[misc]
                bound=bounds.DEADLINE,
                what=f"connection {len(self._sockets)} is accepted",
            )
            connection.send(said)
            if number % WAVE == 0:
                await asyncio.sleep(0)

    def gone(self) -> int:
        """Return how many the other side has closed."""
        ended = select.POLLHUP | select.POLLERR
        look = select.poll()
        for connection in self._sockets:
            look.register(connection, 0)
        return sum(bool(event & ended) for _, event in look.poll(0))

    def leave(self) -> None:
        """Close all of them."""
        while self._sockets:
            self._sockets.pop().close()

    def _connected(self, connection: socket.socket) -> bool:
        try:
            connection.connect(str(self._path))
        except BlockingIOError:
            # The backlog is full: somebody has to accept first.
            return False
        except OSError as error:
            raise NonConformance(
                what=f"connection {len(self._sockets)} to {self._path}",
                expected="accepted",
                observed=str(error),
            ) from None
        return True


@contextmanager
def crowd(path: Path) -> Iterator[Crowd]:
    """Give an empty crowd, which leaves at the end of the with block."""
    people = Crowd(path)
    try:
        yield people
    finally:
        people.leave()


def _connection() -> h2.connection.H2Connection:
    config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    return connection
