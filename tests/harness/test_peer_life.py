"""The life of a peer: which connections it counts, what it says of its health, how it ends."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import h2.events
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conformance.harness import bounds
from conformance.harness.arrivals import PROBE
from conformance.harness.bounds import until
from conformance.harness.frames import framed
from conformance.harness.health import HEALTH, NOT_SERVING, SERVING
from conformance.harness.judging import NonConformance
from conformance.harness.peer import Peer
from conformance.harness.recorded import SETTLE
from conformance.harness.replies import drops, echo, fails, held, ok

from .probing import BEGUN, PING, Client, Hand


async def _check(client: Client, request: health_pb2.HealthCheckRequest) -> None:
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    await stub.Check(request)


async def test_connections_for_health_are_not_counted(peer: Peer) -> None:
    async with Hand(peer.path) as idle, Client(peer.address) as health:
        idle.writer.write(BEGUN)
        request = health_pb2.HealthCheckRequest(service="a")
        await _check(health, request)
        async with Hand(peer.path):
            await until(lambda: len(peer.all_connections) == 3, bound=1.0, what="three")
        async with Client(peer.address) as both:
            await _check(both, request)
            await both.call()
            counted = await peer.connected(2)
    # Not the second, which checked health; nor the third, which only connected.
    assert [connection.number for connection in counted] == [1, 4]
    assert [one.paths for one in counted] == [[], [f"/{HEALTH}/Check", f"/{PROBE}/Unary"]]


async def test_a_new_connection_is_counted_once_it_settled(peer: Peer) -> None:
    before = time.monotonic()
    async with Hand(peer.path) as hand:
        hand.writer.write(BEGUN)
        (connection,) = await peer.connected(1)
        waited = time.monotonic() - before
        assert waited >= SETTLE
        hand.request(b"", path=f"/{HEALTH}/Check")
        await until(lambda: peer.checks, bound=bounds.PROMPT, what="a check")
        assert await peer.settled() == []
        assert connection in peer.all_connections


async def test_health_is_what_the_test_says(peer: Peer) -> None:
    async with Client(peer.address) as client:
        stub: Any = health_pb2_grpc.HealthStub(client.channel)
        request = health_pb2.HealthCheckRequest(service="mine")
        watch = stub.Watch(request)
        assert (await stub.Check(request)).status == SERVING
        assert (await watch.read()).status == SERVING
        peer.health = NOT_SERVING
        assert (await watch.read()).status == NOT_SERVING
        assert (await stub.Check(request)).status == NOT_SERVING
        peer.health = fails("UNIMPLEMENTED")
        codes = [(await stub.Check(request, timeout=5).code()).name, (await watch.code()).name]
        del stub, watch
    assert codes == ["UNIMPLEMENTED", "UNIMPLEMENTED"]
    assert {check.method for check in peer.checks} == {"Watch", "Check"}
    assert {check.payloads for check in peer.checks} == {(b"mine",)}
    assert (peer.arrivals, peer.connections) == ([], [])


async def test_it_leaves_nothing_behind(socket_dir: Path) -> None:
    tasks, descriptors = asyncio.all_tasks(), len(os.listdir("/proc/self/fd"))
    peer = Peer(socket_dir / "p.sock")
    peer.otherwise = held(ok(after=60.0))
    await peer.open()
    assert os.listdir(socket_dir) == ["p.sock"]
    hands = [Hand(peer.path) for _ in range(20)]
    for number, hand in enumerate(hands):
        await hand.__aenter__()
        hand.greet()
        hand.request(PING, end=bool(number % 2))
    await peer.arrived(20)
    peer.release(10)

    await peer.close()
    for hand in hands:
        await hand.rest()
        await hand.__aexit__()

    assert os.listdir(socket_dir) == []
    # Channels of earlier tests may give theirs back meanwhile.
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert asyncio.all_tasks() == tasks
    assert peer.in_flight == []


async def test_it_may_leave_a_stale_socket(socket_dir: Path) -> None:
    async with Peer(socket_dir / "p.sock") as peer:
        await peer.close(leave=True)
    assert os.listdir(socket_dir) == ["p.sock"]
    with pytest.raises(ConnectionRefusedError):
        await Hand(peer.path).__aenter__()


async def test_who_replaced_it_keeps_the_socket(socket_dir: Path) -> None:
    async with Peer(socket_dir / "p.sock") as first, Peer(socket_dir / "p.sock") as second:
        await first.close()
        async with Client(second.address) as client:
            assert await client.call() == ("OK", [b"ping"])
    assert os.listdir(socket_dir) == []


async def test_an_answer_that_breaks_is_an_error_of_the_suite(socket_dir: Path) -> None:
    peer = Peer(socket_dir / "p.sock")
    await peer.open()
    peer.health = ok(b"a payload, where there is none")
    async with Hand(peer.path) as hand:
        hand.greet()
        hand.request(framed(b""), path=f"/{HEALTH}/Check")
        await until(lambda: peer._problems, bound=bounds.PROMPT, what="the problem")
    with pytest.raises(RuntimeError, match="the peer p broke"):
        await peer.close()


async def test_connections_are_greeted_as_the_test_says(peer: Peer) -> None:
    peer.greets("closing")
    async with Hand(peer.path) as hand:
        await hand.rest()
    assert [one.ended_by for one in peer.all_connections] == ["peer"]
    peer.greets("normal", after=3600.0)
    async with Hand(peer.path) as hand:
        hand.greet()
        hand.request(PING)
        await peer.arrived(1)
        assert peer.in_flight == peer.arrivals
        peer.greet()
        await hand.until(h2.events.StreamEnded)
    async with Client(peer.address) as client:
        assert await client.call() == ("OK", [b"ping"])


async def test_an_ended_connection_waits_for_the_client(peer: Peer, hand: Hand) -> None:
    hand.request(PING)
    await hand.until(h2.events.StreamEnded)
    ending = asyncio.create_task(peer.end_connections())
    # Nothing comes after the end, and what the client sends yet is read.
    await hand.rest()
    hand.request(PING)
    await peer.arrived(2)
    assert not ending.done()
    hand.writer.close()
    await ending
    (connection,) = peer.connections
    assert (connection.ended_by, connection.problem) == ("peer", "")


async def test_a_client_that_keeps_an_ended_connection_is_a_failure(
    peer: Peer, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "PROMPT", 0.05)
    hand.request(PING)
    await hand.until(h2.events.StreamEnded)
    with pytest.raises(NonConformance, match="the client closes its side"):
        await peer.end_connections()


async def test_a_drop_ends_the_other_calls_too(peer: Peer, hand: Hand) -> None:
    peer.answers(held(echo()), drops())
    hand.request(PING)
    await peer.arrived(1)
    hand.request(PING)
    await hand.rest()
    await peer.disconnected()
    assert [arrival.answered is None for arrival in peer.arrivals] == [True, False]
    assert peer.in_flight == []
