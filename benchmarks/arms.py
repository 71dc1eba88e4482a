"""Transports, as arms of a measurement: how a caller dials each, and what it says there."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from conformance.harness.addresses import HOST, Address, TLSAddress, UnixAddress
from conformance.harness.pki import Credentials

from . import floors

OPTIONS = (
    # Arms of one address have a connection each, and nothing is tried twice.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)

BOUND = 60.0
"""Seconds in which every call ends, or something is broken."""

UNIX, AGAIN, TLS = "unix", "unix-again", "tls"

IMPLEMENTATION = {
    UNIX: "the implementation at its Unix socket",
    AGAIN: "the same again: how far to trust the rest",
    TLS: "the implementation at its port, with mutual TLS",
}

BARE = {
    "bare-unix": "a bare grpc.aio server at a Unix socket",
    "bare-tcp": "the same at a port, in plaintext",
    "bare-tls": "the same at a port, with mutual TLS",
}

RAW = {
    "raw-unix": "no gRPC: a raw Unix socket",
    "raw-tcp": "no gRPC: a raw port",
    "raw-tls": "no gRPC: a raw port with mutual TLS",
}

SAYS = IMPLEMENTATION | BARE | RAW
"""What each arm is, for a reader."""


def bases(arm: str) -> tuple[str, ...]:
    """Return the arms that one is compared with: its own kind at a Unix socket, and the floor."""
    if arm in IMPLEMENTATION:
        return (UNIX, "bare-unix")
    return ("bare-unix", "raw-unix") if arm in BARE else ("raw-unix",)


def dial(address: Address) -> grpc.Channel:
    """Return a channel to an address for a caller that waits for each answer."""
    if isinstance(address, TLSAddress):
        credentials = address.credentials
        options = (*OPTIONS, *credentials.options())
        return grpc.secure_channel(str(address), credentials.for_grpc(), options=options)
    return grpc.insecure_channel(str(address), options=OPTIONS)


def dial_async(address: Address) -> grpc.aio.Channel:
    """Return a channel to an address for a caller with many calls at once."""
    return address.channel(OPTIONS)


class Floors:
    """Where the floors are: bare servers and raw sockets.

    Args:
        directory: of the sockets.
        ports: by arm.
        credentials: of the caller.
    """

    def __init__(self, directory: Path, ports: dict[str, int], credentials: Credentials) -> None:
        """Note it; nothing is dialled."""
        self.directory = directory
        self._ports = ports
        self._credentials = credentials

    @property
    def bare_socket(self) -> Path:
        """The Unix socket of the bare server."""
        return self.directory / f"{floors.NAME}.sock"

    @property
    def all_bare(self) -> dict[str, Address]:
        """The addresses of the bare server, by arm."""
        return {arm: self.bare(arm) for arm in BARE}

    def bare(self, arm: str) -> Address:
        """Return the address of a bare server."""
        if arm == "bare-unix":
            return UnixAddress(self.bare_socket)
        if arm == "bare-tls":
            return TLSAddress(self._ports[arm], self._credentials)
        return Plain(self._ports[arm])

    @contextmanager
    def raw(self, arm: str, payload: bytes) -> Iterator[Callable[[], None]]:
        """Connect to a raw socket; give what sends a payload there and reads the answer."""
        message = floors.LENGTH.pack(len(payload)) + payload
        with self._connected(arm) as conversation:

            def call() -> None:
                conversation.sendall(message)
                if floors.read(conversation, len(floors.DONE)) != floors.DONE:
                    raise AssertionError(f"{arm}: the answer is another one")

            yield call

    def _connected(self, arm: str) -> socket.socket | ssl.SSLSocket:
        if arm == "raw-unix":
            unix = socket.socket(socket.AF_UNIX)
            unix.connect(str(self.directory / arm))
            return unix
        tcp = socket.create_connection((HOST, self._ports[arm]))
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if arm == "raw-tcp":
            return tcp
        context = self._credentials.context(ssl.PROTOCOL_TLS_CLIENT, alpn=())
        return context.wrap_socket(tcp, server_hostname=self._credentials.server_name)


class Plain:
    """A port of this host without TLS: a floor, at which no implementation listens."""

    def __init__(self, port: int) -> None:
        """Name it."""
        self._port = port

    def __str__(self) -> str:
        """Show it as gRPC writes it."""
        return f"{HOST}:{self._port}"

    def channel(self, options: Any) -> grpc.aio.Channel:
        """Return a channel that leads there."""
        return grpc.aio.insecure_channel(str(self), options=options)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect."""
        return await asyncio.open_connection(HOST, self._port)

    def accepts(self) -> bool:
        """Tell whether a connection is accepted now."""
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self._port)) == 0
