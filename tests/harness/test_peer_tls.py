"""A peer that listens by TLS: who gets through to it, and what it notes of them."""

import asyncio
import socket
from typing import Any

import grpc
import pytest

from conformance.harness import bounds
from conformance.harness.addresses import HOST, TLSAddress
from conformance.harness.arrivals import TLSSession
from conformance.harness.bounds import until
from conformance.harness.peer import Peer
from conformance.harness.pki import EXPIRED, Authority, Credentials, Pki, self_signed

from .probing import PING, UNARY

PKI = Pki()

STRANGERS = {
    "no certificate": PKI.showing(None),
    "another authority": PKI.showing(Authority().issue("x")),
    "self-signed": PKI.showing(self_signed("x")),
    "expired": PKI.showing(PKI.authority.issue("x", valid=EXPIRED)),
    "another server": Credentials(PKI.client.own, PKI.authority.certificate, "elsewhere.test"),
}


async def _call(port: int, credentials: Credentials) -> str:
    async with TLSAddress(port, credentials).channel(()) as channel:
        return await _code(channel)


async def _code(channel: grpc.aio.Channel) -> str:
    method: Any = channel.unary_unary(UNARY)
    return str((await method(PING[5:], timeout=5).code()).name)


async def test_it_notes_how_it_was_called() -> None:
    own = PKI.client.own
    assert own is not None
    async with Peer(0, tls=PKI.server()) as peer:
        assert await _call(peer.port, PKI.client) == "OK"

        (arrival,) = peer.arrivals
        assert arrival.connection.tls == TLSSession("TLSv1.3", "h2", own.serial)


async def test_it_notes_that_there_was_no_tls() -> None:
    async with Peer(0) as peer:
        async with grpc.aio.insecure_channel(peer.address) as channel:
            assert await _code(channel) == "OK"

        assert [arrival.connection.tls for arrival in peer.arrivals] == [None]


@pytest.mark.parametrize("case", STRANGERS)
async def test_strangers_never_get_through(case: str) -> None:
    async with Peer(0, tls=PKI.server()) as peer:
        assert await _call(peer.port, STRANGERS[case]) == "UNAVAILABLE"

        assert peer.arrivals == []
        assert await _call(peer.port, PKI.client) == "OK"


async def test_plaintext_never_gets_through() -> None:
    async with Peer(0, tls=PKI.server()) as peer:
        async with grpc.aio.insecure_channel(peer.address) as channel:
            assert await _code(channel) == "UNAVAILABLE"

        assert (peer.arrivals, list(peer.all_connections)) == ([], [])


async def test_the_silent_do_not_keep_it_from_closing() -> None:
    peer = Peer(0, tls=PKI.server())
    await peer.open()
    listener = peer._listener
    assert listener is not None
    with socket.create_connection((HOST, peer.port)):
        await until(lambda: listener._accepted, bound=1.0, what="it is accepted")

        async with asyncio.timeout(bounds.PROMPT):
            await peer.close()
