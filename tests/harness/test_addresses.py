"""Where services are reached: ports that are nobody else's, and addresses that tell who accepts."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from conformance.harness.addresses import HOST, Address, ReservedPort, TLSAddress, UnixAddress
from conformance.harness.listening import listen_at_path
from conformance.harness.peer import Peer
from conformance.harness.pki import Pki

PKI = Pki()

MANY = 2000
"""Ports that are asked for: a kernel that gave a reserved one away would do so among these."""


@pytest.fixture
def port() -> Iterator[ReservedPort]:
    """A port."""
    reserved = ReservedPort()
    yield reserved
    reserved.close()


def test_nobody_who_asks_for_any_port_gets_it(port: ReservedPort) -> None:
    got = []
    for _ in range(MANY):
        with socket.create_server((HOST, 0)) as other:
            got.append(other.getsockname()[1])

    assert port.number not in got
    assert repr(port) == f"ReservedPort({port.number})"


def test_two_are_not_the_same(port: ReservedPort) -> None:
    other = ReservedPort()

    assert other.number != port.number
    other.close()


def test_who_names_it_listens_there(port: ReservedPort) -> None:
    # It sets SO_REUSEADDR, as gRPC does.
    with socket.create_server((HOST, port.number)):
        assert TLSAddress(port.number, PKI.client).accepts()
    assert not TLSAddress(port.number, PKI.client).accepts()


async def test_grpc_listens_there_again_and_again(port: ReservedPort) -> None:
    for _ in range(2):
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        assert server.add_insecure_port(f"{HOST}:{port.number}") == port.number
        await server.start()
        assert TLSAddress(port.number, PKI.client).accepts()
        await server.stop(None)


def test_who_does_not_share_does_not_get_it(port: ReservedPort) -> None:
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, port.number))


def test_when_it_is_taken_nobody_else_listens_there(port: ReservedPort) -> None:
    port.take()

    assert TLSAddress(port.number, PKI.client).accepts()
    with pytest.raises(OSError, match="in use"):
        socket.create_server((HOST, port.number))


def test_it_is_given_back() -> None:
    reserved = ReservedPort()
    reserved.close()

    with socket.socket() as other:
        other.bind((HOST, reserved.number))


def test_a_socket_is_accepted_as_long_as_somebody_listens(socket_dir: Path) -> None:
    address = UnixAddress(socket_dir / "p.sock")
    assert not address.accepts()

    listener = listen_at_path(address.path)
    assert address.accepts()
    listener.close()

    assert not address.accepts()
    assert str(address) == f"unix:{socket_dir}/p.sock"


async def _used(address: Address) -> None:
    """Call over a channel, and begin HTTP/2 by hand."""
    async with address.channel(()) as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        await check(b"", timeout=5)
    reader, writer = await address.connect()
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
    frame = await reader.readexactly(9)
    writer.transport.abort()
    assert frame[3] == 4  # SETTINGS


async def test_a_socket_is_spoken_to_in_plaintext(peer: Peer) -> None:
    await _used(UnixAddress(peer.path))

    assert {connection.tls for connection in peer.all_connections} == {None}


async def test_a_port_is_spoken_to_by_tls_with_a_certificate() -> None:
    own = PKI.client.own
    assert own is not None

    async with Peer(0, tls=PKI.server()) as peer:
        address = TLSAddress(peer.port, PKI.client)
        await _used(address)

        assert str(address) == peer.address
        assert [
            (one.tls and one.tls.alpn, one.tls and one.tls.serial) for one in peer.all_connections
        ] == [("h2", own.serial)] * 2


async def test_nobody_there_is_an_error(port: ReservedPort, socket_dir: Path) -> None:
    for address in (TLSAddress(port.number, PKI.client), UnixAddress(socket_dir / "none")):
        with pytest.raises(OSError, match=r"refused|No such file|Connect call failed"):
            await address.connect()
