"""Where a service is reached, and how: at a Unix socket, or at a port with mutual TLS.

Everything that connects to a service takes an address, so that one test serves both.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc

from .pki import Credentials

Options = tuple[tuple[str, Any], ...]

HOST = "127.0.0.1"
"""Where the suite's services and peers listen: nothing leaves this host."""


class Address(Protocol):
    """Where a service is reached, and how."""

    def channel(self, options: Options) -> grpc.aio.Channel:
        """Return a channel of grpc.aio's that leads there."""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, and return the two ends of a stream of bytes, ready for HTTP/2.

        Raises:
            OSError: nobody accepts, or the TLS handshake fails.
        """

    def accepts(self) -> bool:
        """Tell whether a connection is accepted now; nothing is said on it."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket, spoken to without TLS."""

    path: Path

    def __str__(self) -> str:
        """Show it as gRPC writes it."""
        return f"unix:{self.path}"

    def channel(self, options: Options) -> grpc.aio.Channel:
        """Return a channel that leads there."""
        return grpc.aio.insecure_channel(str(self), options=options)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect."""
        return await asyncio.open_unix_connection(str(self.path))

    def accepts(self) -> bool:
        """Tell whether a connection is accepted now."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return _accepted(probe, str(self.path))


@dataclass(frozen=True, slots=True)
class TLSAddress:
    """A port of 127.0.0.1, spoken to with mutual TLS."""

    port: int
    credentials: Credentials
    """What the suite shows of itself, and whom it trusts."""

    def __str__(self) -> str:
        """Show it as gRPC writes it."""
        return f"{HOST}:{self.port}"

    def channel(self, options: Options) -> grpc.aio.Channel:
        """Return a channel that leads there."""
        return grpc.aio.secure_channel(
            str(self), self.credentials.for_grpc(), options=(*options, *self.credentials.options())
        )

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, and shake hands."""
        return await asyncio.open_connection(
            HOST,
            self.port,
            ssl=self.credentials.context(ssl.PROTOCOL_TLS_CLIENT),
            server_hostname=self.credentials.server_name,
        )

    def accepts(self) -> bool:
        """Tell whether a connection is accepted now."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            return _accepted(probe, (HOST, self.port))


class ReservedPort:
    """A port that is nobody else's for as long as this object lives, and free to listen at.

    It is bound with SO_REUSEADDR and never listens: the kernel gives it to nobody who asks for
    any port, and to whoever names it and sets SO_REUSEADDR too, as every gRPC library does.
    """

    def __init__(self) -> None:
        """Take a port of 127.0.0.1."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((HOST, 0))
        self.number: int = self._socket.getsockname()[1]

    def __repr__(self) -> str:
        """Show its number."""
        return f"ReservedPort({self.number})"

    def take(self) -> None:
        """Listen there: now nobody else can."""
        self._socket.listen()

    def close(self) -> None:
        """Give it back."""
        self._socket.close()


def _accepted(probe: socket.socket, address: Any) -> bool:
    # Loopback and Unix sockets accept or refuse at once; a full backlog would make it wait.
    probe.settimeout(0.0 if probe.family == socket.AF_UNIX else 0.1)
    with suppress(OSError):
        probe.connect(address)
        return True
    return False
