"""The words for a connection pool, and pings by hand, held against a peer."""

import time
from pathlib import Path

import pytest

from conformance.harness.addresses import UnixAddress
from conformance.harness.judging import Inconclusive, NonConformance
from conformance.harness.outcomes import Outcome
from conformance.harness.peer import Peer
from conformance.harness.pooling import (
    answered,
    expect_at_once,
    expect_closed,
    expect_used,
    passes,
)
from conformance.harness.raw import RawConnection
from conformance.harness.replies import hangs

from .probing import Client


async def test_what_waited_for_nothing_is_at_once() -> None:
    expect_at_once(Outcome("OK", elapsed=0.01))
    with pytest.raises(
        NonConformance, match=r"time of a call that must not wait.* observed 500 ms"
    ):
        expect_at_once(Outcome("OK", elapsed=0.5))


async def test_of_several_one_must_have_waited_for_nothing_at_all() -> None:
    slow, fast = Outcome("OK", elapsed=0.09), Outcome("OK", elapsed=0.01)
    expect_at_once(slow, slow, fast)
    with pytest.raises(
        NonConformance, match=r"time of the fastest of 3 calls.* expected at most 0 ms"
    ):
        expect_at_once(slow, slow, slow)


async def test_a_host_that_let_a_connection_idle_out_is_inconclusive(peer: Peer) -> None:
    async with Client(peer.address) as client:
        await client.call()
        await client.call()
    expect_used(peer, since=answered(peer, 0), within=5.0)
    with pytest.raises(Inconclusive, match="passed between two calls, 0 s may"):
        expect_used(peer, since=answered(peer, 0), within=0.0)


async def test_an_answer_has_a_time(peer: Peer) -> None:
    before = time.monotonic()
    async with Client(peer.address) as client:
        await client.call()
        assert before <= answered(peer) <= time.monotonic()
        peer.otherwise = hangs()
        await client.call(timeout=0.05)
    with pytest.raises(ValueError, match="time begins with an answer"):
        answered(peer)
    assert answered(peer, 0) < peer.arrivals[1].time


async def test_the_client_closes_at_its_time(peer: Peer) -> None:
    async with Client(peer.address) as client:
        await client.call()
        await passes(0.1)
    await peer.disconnected()
    expect_closed(peer, since=answered(peer), after=0.1)
    with pytest.raises(NonConformance, match="expected at least 300 ms and at most 300 ms"):
        expect_closed(peer, since=answered(peer), after=0.3)
    assert await peer.calls_by_connection() == [1]


async def test_who_closes_is_told(peer: Peer) -> None:
    async with Client(peer.address) as client:
        await client.call()
        await peer.drop_connections()
    with pytest.raises(NonConformance, match=r"who closed the connection.* observed 'peer'"):
        expect_closed(peer, since=answered(peer), after=0.0)


async def test_a_ping_is_answered(peer: Peer) -> None:
    async with RawConnection(UnixAddress(peer.path)) as connection:
        await connection.ping(b"12345678")
        await connection.ping(b"abcdefgh")
        assert connection.pongs == [b"12345678", b"abcdefgh"]
    assert len(peer.all_connections[0].pings) == len(connection.pongs)


async def test_a_ping_ends_with_its_connection(socket_dir: Path) -> None:
    async with (
        Peer(socket_dir / "p.sock") as peer,
        RawConnection(UnixAddress(peer.path)) as connection,
    ):
        await peer.connected()
        await peer.drop_connections()
        await connection.seen(lambda: connection.closed, bound=1.0, what="the end")
        await connection.ping(b"12345678")
        assert connection.pongs == []
