"""Handshakes by hand, with peers that shake hands and others that do not."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from conformance.harness import bounds
from conformance.harness.addresses import HOST, ReservedPort
from conformance.harness.handshakes import Handshake, can_offer, client_hello, shake, told
from conformance.harness.judging import NonConformance
from conformance.harness.peer import Peer
from conformance.harness.pki import Authority, Pki

PKI = Pki()


async def test_a_handshake_is_told_whole() -> None:
    server = PKI.server()
    assert server.own is not None
    async with Peer(0, tls=server) as peer:
        seen = await shake(peer.port, PKI.client, alpn=("http/1.1", "h2"))
        old = await shake(peer.port, PKI.client, at_most=ssl.TLSVersion.TLSv1_2)
        none = await shake(peer.port, PKI.client, alpn=())

    assert seen == Handshake("TLSv1.3", "h2", server.own.serial)
    assert old == Handshake("TLSv1.2", "h2", server.own.serial)
    assert none == Handshake("TLSv1.3", "", server.own.serial)


async def test_a_handshake_fails_where_either_side_refuses() -> None:
    async with Peer(0, tls=PKI.server()) as peer:
        stranger = PKI.showing(None)
        refused = await shake(peer.port, stranger, at_most=ssl.TLSVersion.TLSv1_2)
        ancient = await shake(peer.port, PKI.client, at_most=ssl.TLSVersion.TLSv1_1)
    async with Peer(0, tls=PKI.showing(Authority().issue("x"))) as peer:
        wrong = await shake(peer.port, PKI.client)
    async with Peer(0) as peer:
        plaintext = await shake(peer.port, PKI.client)

    assert [refused, ancient, wrong, plaintext] == [Handshake(failed=True)] * 4


async def test_a_handshake_fails_where_nobody_is() -> None:
    port = ReservedPort()

    assert await shake(port.number, PKI.client) == Handshake(failed=True)
    port.close()


async def test_a_handshake_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "DEADLINE", 0.1)
    with socket.create_server((HOST, 0)) as silent:
        assert await shake(silent.getsockname()[1], PKI.client) == Handshake(failed=True)


@asynccontextmanager
async def _answering(answer: bytes, *, stays: bool = False) -> AsyncIterator[int]:
    """Yield a port at which the first words are answered, and the connection closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(answer)
        if stays:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("answer", [b"", b"go away"])
async def test_all_that_is_told_before_the_end_is_returned(answer: bytes) -> None:
    async with _answering(answer) as port:
        assert await told(port, b"hello", 5.0) == answer


async def test_a_connection_that_is_reset_has_ended_too() -> None:
    with socket.create_server((HOST, 0)) as server:
        asking = asyncio.create_task(told(server.getsockname()[1], b"hello", 5.0))
        connection, _ = await asyncio.to_thread(server.accept)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

        assert await asking == b""


async def test_a_connection_that_stays_open_is_a_finding() -> None:
    async with _answering(b"welcome", stays=True) as port:
        with pytest.raises(NonConformance) as found:
            await told(port, b"hello", 0.05)

    assert found.value.what == "end of a connection that sent b'hello'…"
    assert found.value.observed == "not within 0.05 s: still open; what came: b'welcome'"


def test_a_client_hello_is_a_record_of_its_own() -> None:
    hello = client_hello(PKI.client)

    assert (hello[0], hello[5]) == (22, 1)  # handshake, ClientHello
    assert int.from_bytes(hello[3:5], "big") == len(hello) - 5
    assert b"localhost" in hello
    assert b"h2" in hello


def test_what_this_host_speaks_can_be_offered() -> None:
    assert can_offer(ssl.TLSVersion.TLSv1_2, PKI)
    assert can_offer(ssl.TLSVersion.TLSv1_3, PKI)


def test_what_it_does_not_speak_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PKI, "server", lambda: PKI.showing(Authority().issue("x")))

    assert not can_offer(ssl.TLSVersion.TLSv1_2, PKI)
