"""Floors: the least that a call can cost here, by transport; `python -m benchmarks.floors DIR`.

A bare grpc.aio server without messages, and raw sockets without gRPC, at a Unix socket, at a port,
and at a port with mutual TLS. What an implementation takes beyond the one is its own; what that
takes beyond the other is gRPC's, of the server and of the Python client that measures.

DIR holds certificate, key and authority; the sockets are made there. One line of standard output
names the ports once all of them listen.
"""

import asyncio
import json
import socket
import ssl
import struct
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

SERVICE = "benchmarks.Floor"

NAME = "bare"
"""What a mesh client finds the bare server by, in DIR."""

HEALTH, CHECK = "grpc.health.v1.Health", "Check"
UNARY, DOWN, UP = (f"/{SERVICE}/{name}" for name in ("Unary", "Down", "Up"))

LENGTH = struct.Struct(">I")
"""Before the bytes of a raw request."""

ORDER = struct.Struct(">II")
"""What Down is asked for: messages, and bytes of each."""

DONE = b"done"
"""The answer to whatever was read whole."""

CERTIFICATE, KEY, AUTHORITY = "own.pem", "own.key", "ca.pem"

_Conversation = socket.socket | ssl.SSLSocket


async def unary(_request: bytes, _context: Any) -> bytes:
    """Answer what came whole."""
    return DONE


async def serving(_request: bytes, _context: Any) -> bytes:
    """Say SERVING, whoever is meant."""
    return health_pb2.HealthCheckResponse(status="SERVING").SerializeToString()


async def down(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    """Send as many messages as are asked for."""
    messages, size = ORDER.unpack(request)
    message = bytes(size)
    for _ in range(messages):
        yield message


async def up(requests: AsyncIterator[bytes], _context: Any) -> bytes:
    """Tell how many bytes came."""
    return LENGTH.pack(sum([len(request) async for request in requests]))


def grpc_server(directory: Path) -> tuple[Any, dict[str, int]]:
    """Return a bare server that is not started, and its ports by transport."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Up": grpc.stream_unary_rpc_method_handler(up),
    }
    health: Any = {CHECK: grpc.unary_unary_rpc_method_handler(serving)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, handlers),
            grpc.method_handlers_generic_handler(HEALTH, health),
        )
    )
    server.add_insecure_port(f"unix:{directory / f'{NAME}.sock'}")
    certificate, key, authority = (
        (directory / name).read_bytes() for name in (CERTIFICATE, KEY, AUTHORITY)
    )
    tls = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
    ports = {
        "bare-tcp": server.add_insecure_port("127.0.0.1:0"),
        "bare-tls": server.add_secure_port("127.0.0.1:0", tls),
    }
    return server, ports


def raw_listeners(directory: Path) -> dict[str, int]:
    """Answer at raw sockets, by threads that end with the process; return the ports."""
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(directory / "raw-unix"))
    tcp, tls = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / CERTIFICATE, directory / KEY)
    context.load_verify_locations(directory / AUTHORITY)
    context.verify_mode = ssl.CERT_REQUIRED
    for listener, wrap in (
        (unix, _as_it_is),
        (tcp, _at_once),
        (tls, lambda one: context.wrap_socket(_at_once(one), server_side=True)),
    ):
        listener.listen()
        _begin(_accept, listener, wrap)
    return {"raw-tcp": tcp.getsockname()[1], "raw-tls": tls.getsockname()[1]}


def read(conversation: _Conversation, size: int) -> bytearray:
    """Read exactly as many bytes.

    Raises:
        EOFError: the other side ended before.
    """
    whole = bytearray(size)
    view = memoryview(whole)
    while view:
        if not (got := conversation.recv_into(view)):
            raise EOFError
        view = view[got:]
    return whole


def _as_it_is(conversation: socket.socket) -> _Conversation:
    return conversation


def _at_once(conversation: socket.socket) -> socket.socket:
    conversation.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return conversation


def _accept(listener: socket.socket, wrap: Callable[[socket.socket], _Conversation]) -> None:
    while True:
        accepted, _ = listener.accept()
        _begin(_answer, accepted, wrap)


def _answer(accepted: socket.socket, wrap: Callable[[socket.socket], _Conversation]) -> None:
    try:
        with wrap(accepted) as conversation:
            while True:
                (size,) = LENGTH.unpack(read(conversation, LENGTH.size))
                read(conversation, size)
                conversation.sendall(DONE)
    except (EOFError, OSError):
        return


def _begin(work: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


async def main(directory: Path) -> None:
    """Serve until the process is ended."""
    server, ports = grpc_server(directory)
    await server.start()
    print(json.dumps(ports | raw_listeners(directory)), flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
