"""The peer, called by real gRPC clients: what it answers, and what it records of them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from conformance.harness import bounds
from conformance.harness.judging import NonConformance
from conformance.harness.peer import Peer
from conformance.harness.replies import (
    Reply,
    drops,
    echo,
    fails,
    half,
    hangs,
    held,
    ok,
    raw_message,
    resets,
    results,
)

from .probing import Client

MIB = 1 << 20


@pytest.fixture
async def client(peer: Peer) -> AsyncIterator[Client]:
    async with Client(peer.address) as connected:
        yield connected


@pytest.mark.parametrize(
    ("method", "payloads", "answer"),
    [
        ("Unary", [b"a"], [b"a"]),
        ("ServerStream", [b"a"], [b"a"]),
        ("ClientStream", [b"a", b"b"], [b"ab"]),
        ("BidiStream", [b"a", b"b"], [b"a", b"b"]),
    ],
)
async def test_it_echoes_unless_it_is_told_otherwise(
    peer: Peer, client: Client, method: str, payloads: list[bytes], answer: list[bytes]
) -> None:
    assert await client.call(*payloads, method=method) == ("OK", answer)
    (arrival,) = peer.arrivals
    assert (arrival.method, arrival.payloads) == (method, tuple(payloads))


async def test_a_batch_is_echoed_item_by_item(peer: Peer, client: Client) -> None:
    assert await client.batch(b"a", b"", b"c") == [b"a", b"", b"c"]
    peer.answers(results(b"only one"), ok(b"x", b"y"), ok())
    assert await client.batch(b"a", b"b") == [b"only one"]
    assert await client.batch(b"a", b"b") == [b"x", b"y"]
    assert await client.batch(b"a", b"b") == []
    assert [arrival.payloads for arrival in peer.arrivals[1:]] == [(b"a", b"b")] * 3


async def test_a_bidirectional_echo_answers_each_message_as_it_comes(
    peer: Peer, client: Client
) -> None:
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def requests() -> AsyncIterator[bytes]:
        while (piece := await pieces.get()) is not None:
            yield piece

    path = "/blackhole.conformance.v1.Probe/BidiStream"
    method: Any = client.channel.stream_stream(path)
    call = method(requests(), timeout=5.0)
    for piece in (b"\x0a\x01a", b"\x0a\x01b"):
        pieces.put_nowait(piece)
        assert await call.read() == piece
        assert peer.arrivals[0].complete is None
    pieces.put_nowait(None)

    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_an_arrival_tells_what_came_and_when(peer: Peer, client: Client) -> None:
    before = time.monotonic()
    peer.answers(echo(after=0.02))
    metadata = (("x-mine", "1"), ("x-mine", "2"), ("x-raw-bin", b"\x00\xff"))
    await client.call(b"payload", timeout=150.0, metadata=metadata)
    after = time.monotonic()

    (arrival,) = peer.arrivals
    assert arrival.metadata == metadata
    assert arrival.header("x-mine") == "1"
    assert arrival.header("x-other") is None
    assert arrival.timeout == pytest.approx(150.0, rel=0.02)
    assert (arrival.encoding, arrival.cancelled) == ("identity", None)
    assert [(m.compressed, m.wire, m.body) for m in arrival.messages] == [
        (False, b"\x0a\x07payload", b"\x0a\x07payload")
    ]
    assert arrival.complete is not None
    assert arrival.answered is not None
    assert before < arrival.time <= arrival.complete < arrival.answered < after
    assert arrival.answered - arrival.complete >= 0.02
    assert arrival.connection is peer.connections[0]
    assert arrival.over
    assert repr(arrival).startswith("Arrival(Unary, connection 1, timeout 15")


async def test_without_a_deadline_there_is_no_timeout(peer: Peer, client: Client) -> None:
    method: Any = client.channel.unary_unary("/blackhole.conformance.v1.Probe/Unary")
    await method(b"")
    assert [arrival.timeout for arrival in peer.arrivals] == [None]


@pytest.mark.parametrize("code", [code.name for code in grpc.StatusCode if code.value[0]])
async def test_every_failure_can_be_answered(peer: Peer, client: Client, code: str) -> None:
    peer.answers(fails(code, "why: ä % \n"))
    call, _ = await client.full(method="ServerStream")
    assert (await call.code()).name == code
    assert await call.details() == "why: ä % \n"


def test_a_code_that_there_is_not_is_an_error_of_the_test() -> None:
    with pytest.raises(KeyError, match="UNAVAIL"):
        fails("UNAVAIL")


async def test_a_failure_brings_details_and_metadata(peer: Peer, client: Client) -> None:
    detail = error_details_pb2.RetryInfo()
    detail.retry_delay.seconds = 7
    peer.answers(fails("ABORTED", "why", [detail], metadata=[("x-t", "1"), ("x-bin", b"\xff")]))
    call, _ = await client.full()

    trailing = {key: value for key, value in await call.trailing_metadata() or ()}  # noqa: C416
    status = status_pb2.Status.FromString(trailing.pop("grpc-status-details-bin"))
    found = error_details_pb2.RetryInfo()
    assert (status.code, status.message, status.details[0].Unpack(found)) == (10, "why", True)
    assert found == detail
    assert trailing == {"x-t": "1", "x-bin": b"\xff"}


async def test_an_answer_brings_headers_and_trailers(peer: Peer, client: Client) -> None:
    peer.answers(ok(b"a", initial=[("x-i", "1")], metadata=[("x-t", "2")]))
    peer.answers(fails("ABORTED", initial=[("x-i", "3")], metadata=[("x-t", "4")]))
    for code, first, last in (("OK", "1", "2"), ("ABORTED", "3", "4")):
        call, _ = await client.full()
        assert (await call.code()).name == code
        assert ("x-i", first) in tuple(await call.initial_metadata())
        assert ("x-t", last) in tuple(await call.trailing_metadata())


async def test_messages_come_before_a_failure(peer: Peer, client: Client) -> None:
    peer.answers(fails("UNAVAILABLE", messages=[b"a", b"b"]), ok(b"c", b"d"), ok())
    call = client.call
    assert await call(method="ServerStream") == ("UNAVAILABLE", [b"a", b"b"])
    assert await call(method="ServerStream") == ("OK", [b"c", b"d"])
    assert await call(method="ServerStream") == ("OK", [])


async def test_answers_are_given_in_the_order_of_the_calls(peer: Peer, client: Client) -> None:
    peer.answers(ok(b"1"), fails("ABORTED"))
    peer.answers(ok(b"3"))
    peer.otherwise = fails("NOT_FOUND")
    codes = [(await client.call())[0] for _ in range(5)]
    assert codes == ["OK", "ABORTED", "OK", "NOT_FOUND", "NOT_FOUND"]


async def test_a_call_that_hangs_is_cancelled_at_its_deadline(peer: Peer, client: Client) -> None:
    peer.answers(hangs(), hangs(b"a"))
    assert await client.call(timeout=0.1) == ("DEADLINE_EXCEEDED", [])
    assert await client.call(method="ServerStream", timeout=0.1) == ("DEADLINE_EXCEEDED", [b"a"])

    await client.call()
    for arrival in peer.arrivals[:2]:
        assert arrival.answered is None
        assert arrival.cancelled is not None
        # What is left of the deadline when the call is sent; C-core ends it to the millisecond.
        assert arrival.cancelled - arrival.time >= (arrival.timeout or 0.1) - 0.005
    assert peer.in_flight == []


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (resets(7), "UNAVAILABLE"),  # REFUSED_STREAM
        (resets(8, after=0.01), "CANCELLED"),  # CANCEL
        (drops(), "UNAVAILABLE"),
        (drops(after=0.01), "UNAVAILABLE"),
        (half(3), "UNAVAILABLE"),
        (half(20), "UNAVAILABLE"),
    ],
    ids=repr,
)
async def test_a_broken_answer_fails_the_call(
    peer: Peer, client: Client, reply: Reply, code: str
) -> None:
    peer.answers(reply)
    assert await client.call() == (code, [])
    assert peer.arrivals[0].answered is not None

    async with Client(peer.address) as other:
        assert await other.call(b"next") == ("OK", [b"next"])
    broken = reply.words.startswith(("drops", "half"))
    assert peer.connections[0].ended_by == ("peer" if broken else "")


async def test_a_message_may_have_fields_that_nobody_knows(peer: Peer, client: Client) -> None:
    peer.answers(raw_message(b"\x0a\x01a" + b"\x9a\x06\x03new"))
    assert await client.call() == ("OK", [b"a"])


async def test_a_held_answer_waits_for_its_release(peer: Peer, client: Client) -> None:
    peer.otherwise = held(echo())
    calls = [asyncio.create_task(client.call(b"%d" % number)) for number in range(4)]
    await peer.arrived(4)
    assert len(peer.in_flight) == 4

    peer.release(1)
    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=5.0)
    oldest = peer.arrivals[0].payloads[0]
    assert [task.result() for task in done] == [("OK", [oldest])]
    peer.release()
    assert {(await call)[0] for call in calls} == {"OK"}
    assert peer.in_flight == []


async def test_who_left_is_not_released_in_place_of_another(peer: Peer, client: Client) -> None:
    peer.otherwise = held(echo())
    await client.call(timeout=0.05)
    staying = asyncio.create_task(client.call(b"b"))
    await peer.arrived(2)
    peer.release(1)
    assert await staying == ("OK", [b"b"])


async def test_requests_are_decompressed(peer: Peer, client: Client) -> None:
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        assert await client.call(b"x" * 5000, compression=compression) == ("OK", [b"x" * 5000])
    await client.call(b"x" * 5000)

    seen = [(arrival.encoding, arrival.messages[0].compressed) for arrival in peer.arrivals]
    sizes = [len(arrival.messages[0].wire) for arrival in peer.arrivals]
    assert seen == [("gzip", True), ("deflate", True), ("identity", False)]
    assert max(sizes[:2]) < 200
    assert sizes[2] > 5000


async def test_answers_are_compressed_when_told_so(peer: Peer, client: Client) -> None:
    peer.answers(ok(b"x" * 5000, gzip=True))
    assert await client.call() == ("OK", [b"x" * 5000])


async def test_large_messages_pass_both_ways(peer: Peer, client: Client) -> None:
    assert await client.call(b"x" * (4 * MIB)) == ("OK", [b"x" * (4 * MIB)])
    assert len(peer.arrivals[0].messages[0].wire) > 4 * MIB


async def test_a_thousand_calls_cost_less_than_a_second(peer: Peer, client: Client) -> None:
    before = time.process_time()
    outcomes = await asyncio.gather(*(client.call(b"%d" % number) for number in range(1000)))
    spent = time.process_time() - before

    assert outcomes == [("OK", [b"%d" % number]) for number in range(1000)]
    assert len(peer.arrivals) == 1000
    assert len(peer.connections) == 1
    # Client and peer together; 0.25 s on an idle host.
    assert spent < 1.0


async def test_a_dropped_client_connects_anew(peer: Peer, client: Client) -> None:
    peer.answers(hangs())
    hanging = asyncio.create_task(client.call())
    await peer.arrived(1)

    await peer.drop_connections()

    assert (await hanging)[0] == "UNAVAILABLE"
    # A channel may pick a connection that has ended until it says that it is not READY.
    async with asyncio.timeout(bounds.DEADLINE):
        await client.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
    assert (await client.call())[0] == "OK"
    first, second = await peer.connected(2)
    assert (first.ended_by, second.closed) == ("peer", None)
    assert await peer.disconnected(1) == [first, second]
    assert peer.open_connections == [second]


async def test_the_end_by_the_client_is_told(peer: Peer) -> None:
    async with Client(peer.address) as client:
        await client.call()
    (connection,) = await peer.disconnected()
    assert connection.ended_by == "client"
    assert connection.closed is not None
    assert connection.received > 100
    assert repr(connection).startswith("Connection(1, closed by client after 0.")


async def test_it_listens_at_a_port_too() -> None:
    async with Peer() as peer, Client(peer.address) as client:
        assert peer.address == f"127.0.0.1:{peer.port}"
        assert await client.call() == ("OK", [b"ping"])


async def test_waits_that_end_in_vain_say_what_there_was(peer: Peer, client: Client) -> None:
    await client.call()
    with pytest.raises(NonConformance, match=r"2 calls arrive at p: .*\[Arrival\(Unary"):
        await peer.arrived(2, bound=0.01)
    with pytest.raises(NonConformance, match=r"2 connections to p: .*\[Connection\(1, open"):
        await peer.connected(2, bound=0.01)
    with pytest.raises(NonConformance, match="all connections to p are closed: "):
        await peer.disconnected(bound=0.01)


async def test_its_story_is_a_log_by_time(peer: Peer, client: Client) -> None:
    peer.answers(fails("ABORTED"))
    await client.call()
    lines = [json.loads(line) for line in peer.story().splitlines()]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert lines[0]["message"] == "connection 1 opened"
    assert {line["peer"] for line in lines} == {"p"}


def test_replies_read_as_they_were_written() -> None:
    replies = [
        echo(), ok(b"a", after=0.1), fails("ABORTED", "no"), fails("ABORTED", messages=[b"a"]),
        held(drops()), half(3), resets(7), results(b"r"), raw_message(b"x"), hangs(),
    ]  # fmt: skip
    assert repr(replies) == (
        "[echo(), ok(b'a', after=0.1), fails('ABORTED', 'no'),"
        " fails('ABORTED', messages=(b'a',)), held(drops()), half(3), resets(7),"
        " results(b'r'), raw_message(b'x'), hangs()]"
    )
