"""An embedded proxy for a process of tests, and an upstream that tests play by hand."""

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.faults.server import FaultProcess, embedded
from conformance.harness.faults.toxiproxy import Proxy, Server

TIMEOUT = 10.0
"""Seconds after which a read that brings nothing has failed."""

_numbers = itertools.count(1)


class Wire:
    """A proxy with an upstream of the test's: what a client sends, the upstream reads."""

    def __init__(self, server: Server, family: str, directory: Path, **own: Any) -> None:
        """Listen as the upstream, and let a proxy stand before it."""
        self.stack = ExitStack()
        self.family = socket.AF_UNIX if family == "unix" else socket.AF_INET
        self.listener = self.stack.enter_context(socket.socket(self.family, socket.SOCK_STREAM))
        self.listener.settimeout(TIMEOUT)
        number = next(_numbers)
        if family == "unix":
            self.listener.bind(str(directory / f"u{number}"))
            upstream, listen = f"unix:{directory}/u{number}", f"unix:{directory}/p{number}"
        else:
            self.listener.bind(("127.0.0.1", 0))
            upstream = f"127.0.0.1:{self.listener.getsockname()[1]}"
            listen = "127.0.0.1:0"
        self.listener.listen()
        self.proxy: Proxy = server.create(upstream, f"wire{number}", listen, **own)
        self.stack.callback(self._gone)

    def client(self) -> socket.socket:
        """Connect to the proxy, and not yet to what is behind it."""
        client = self.stack.enter_context(socket.socket(self.family, socket.SOCK_STREAM))
        client.settimeout(TIMEOUT)
        if self.family == socket.AF_UNIX:
            client.connect(self.proxy.listen.removeprefix("unix:"))
        else:
            host, _, port = self.proxy.listen.rpartition(":")
            client.connect((host, int(port)))
        return client

    def connected(self) -> tuple[socket.socket, socket.socket]:
        """Connect through the proxy; return the client's end, and the upstream's."""
        client = self.client()
        server, _ = self.listener.accept()
        self.stack.enter_context(server)
        server.settimeout(TIMEOUT)
        return client, server

    def _gone(self) -> None:
        with suppress(Exception):
            self.proxy.destroy()


def read(end: socket.socket, size: int) -> bytes:
    """Read so many bytes, or until the end."""
    found = b""
    while len(found) < size and (data := end.recv(size - len(found))):
        found += data
    return found


def sending(end: socket.socket, data: bytes) -> threading.Thread:
    """Send from a thread: more than fits into buffers may wait for its reader."""

    def send() -> None:
        with suppress(OSError):
            end.sendall(data)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.fixture(scope="session")
def process() -> Iterator[FaultProcess]:
    """An embedded proxy."""
    started = embedded(seed=7)
    yield started
    started.close()


@pytest.fixture
def server(process: FaultProcess) -> Iterator[Server]:
    """Its client; proxies that a test leaves are gone afterwards."""
    yield process.server
    process.server.destroy_all()


@pytest.fixture(params=["unix", "tcp"])
def wire(request: pytest.FixtureRequest, server: Server, socket_dir: Path) -> Iterator[Wire]:
    """A proxy and an upstream, on a Unix socket and on TCP."""
    made = Wire(server, request.param, socket_dir)
    with made.stack:
        yield made
