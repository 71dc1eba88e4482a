"""The peer, by clients that no gRPC library would be: what it bears and records of them."""

import time
from pathlib import Path
from typing import Any

import h2.events
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from blackhole.conformance.v1 import probe_pb2 as pb
from conformance.harness import bounds
from conformance.harness.arrivals import PROBE
from conformance.harness.bounds import until
from conformance.harness.frames import framed, unframed
from conformance.harness.judging import NonConformance
from conformance.harness.peer import Peer
from conformance.harness.replies import Reply, echo, fails, half, held, ok, raw_message

from .probing import PING, PREFACE, Client, Hand

MIB = 1 << 20


async def _check(client: Client, request: health_pb2.HealthCheckRequest) -> None:
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    await stub.Check(request)


async def _trailers(hand: Hand) -> dict[str, str]:
    """Return the last block of headers of an answer."""
    while True:
        event = await hand.until(h2.events.ResponseReceived, h2.events.TrailersReceived)
        headers = {str(name): str(value) for name, value in event.headers}
        if "grpc-status" in headers:
            return headers


@pytest.mark.parametrize(
    ("reply", "bodies"),
    [
        (ok(b"a"), [b"\x0a\x01a"]),
        (ok(b"a", b"b"), [b"\x0a\x01a", b"\x0a\x01b"]),
        (fails("OK"), []),
        (raw_message(b"\xff"), [b"\xff"]),
    ],
    ids=repr,
)
async def test_what_it_sends_may_break_the_protocol(
    peer: Peer, hand: Hand, reply: Reply, bodies: list[bytes]
) -> None:
    peer.answers(reply)
    hand.request(PING)
    trailers = await _trailers(hand)
    data = b"".join(
        event.data for event in hand.events if isinstance(event, h2.events.DataReceived)
    )
    assert trailers["grpc-status"] == "0"
    assert [body for _, body in unframed(data)[0]] == bodies


async def test_a_message_of_a_status_is_escaped_as_the_protocol_has_it(
    peer: Peer, hand: Hand
) -> None:
    peer.answers(fails("ABORTED", "why: ä (100 %)\n"))
    hand.request(PING)
    assert (await _trailers(hand))["grpc-message"] == "why: %C3%A4 (100 %25)%0A"


async def test_half_an_answer_is_so_many_bytes(peer: Peer, hand: Hand) -> None:
    peer.answers(half(17))
    hand.request(PING)
    event = await hand.until(h2.events.DataReceived)
    assert event.data == framed(pb.UnaryResponse(payload=b"x" * 64))[:17]
    await hand.rest()
    assert [one.ended_by for one in await peer.disconnected()] == ["peer"]


@pytest.mark.parametrize(
    ("encoding", "body", "problem"),
    [
        ("snappy", b"\xff" * 9, "compressed with 'snappy'"),
        ("gzip", b"\xff" * 9, "not gzip: "),
        ("identity", b"\xff" * 9, "compressed with 'identity'"),
    ],
)
async def test_what_cannot_be_decompressed_is_told(
    peer: Peer, hand: Hand, encoding: str, body: bytes, problem: str
) -> None:
    hand.request(framed(body, compressed=True), headers=[("grpc-encoding", encoding)])
    assert (await _trailers(hand))["grpc-status"] == "12"
    (message,) = peer.arrivals[0].messages
    assert (message.compressed, message.wire, message.body) == (True, body, body)
    assert message.problem.startswith(problem)


async def test_what_is_no_message_cannot_be_echoed(peer: Peer, hand: Hand) -> None:
    hand.request(framed(b"\xff"))
    assert (await _trailers(hand))["grpc-status"] == "13"
    with pytest.raises(NonConformance, match="UnaryRequest"):
        _ = peer.arrivals[0].payloads


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("1H", 3600.0), ("2M", 120.0), ("3S", 3.0), ("250m", 0.25), ("99999999n", 0.099999999),
        ("5u", 5e-6), ("1", None), ("m", None), ("-1S", None), ("123456789S", None),
    ],
)  # fmt: skip
async def test_a_timeout_is_read_as_the_protocol_has_it(
    peer: Peer, hand: Hand, header: str, seconds: float | None
) -> None:
    hand.request(PING, headers=[("grpc-timeout", header)])
    await _trailers(hand)
    assert peer.arrivals[0].timeout == (seconds if seconds is None else pytest.approx(seconds))


async def test_metadata_is_what_the_caller_gave(peer: Peer, hand: Hand) -> None:
    own = [("x-a", "1,2"), ("x-bin", "AAE,/w"), ("x-odd-bin", "!"), ("traceparent", "t")]
    hand.request(PING, headers=[("user-agent", "u"), ("grpc-accept-encoding", "gzip"), *own])
    await _trailers(hand)
    assert peer.arrivals[0].metadata == (
        ("x-a", "1,2"), ("x-bin", b"\x00\x01"), ("x-bin", b"\xff"), ("x-odd-bin", b"!"),
        ("traceparent", "t"),
    )  # fmt: skip


async def test_metadata_may_be_longer_than_any_limit_that_is_judged(peer: Peer, hand: Hand) -> None:
    hand.request(PING, headers=[(f"x-{number}", "v" * 10_000) for number in range(20)])
    assert (await _trailers(hand))["grpc-status"] == "0"
    assert len(peer.arrivals[0].metadata) == 20


async def test_other_methods_are_unimplemented_and_no_arrivals(peer: Peer, hand: Hand) -> None:
    for path in (f"/{PROBE}/Other", "/x.Y/Z", ""):
        hand.request(PING, path=path or "/")
        assert (await _trailers(hand))["grpc-status"] == "12"
    assert (peer.arrivals, peer.checks) == ([], [])


async def test_a_large_answer_waits_for_the_client_to_read(peer: Peer, hand: Hand) -> None:
    peer.answers(ok(b"x" * (2 * MIB)))
    hand.request(PING)
    window = 65535
    received = 0
    while received < window:
        received += len((await hand.until(h2.events.DataReceived, acknowledge=False)).data)
    hand.h2.ping(b"barrier!")
    hand.send()
    await hand.until(h2.events.PingAckReceived, acknowledge=False)
    assert received == window
    assert [e for e in hand.events if isinstance(e, h2.events.DataReceived)] == []
    assert peer.arrivals[0].answered is None

    hand.h2.increment_flow_control_window(2 * MIB)
    hand.h2.increment_flow_control_window(2 * MIB, stream_id=1)
    hand.send()
    trailers = await _trailers(hand)

    assert trailers["grpc-status"] == "0"
    assert peer.arrivals[0].answered is not None


async def test_who_does_not_read_his_socket_holds_up_only_his_answer(
    peer: Peer, hand: Hand
) -> None:
    peer.answers(ok(b"x" * (4 * MIB)))
    hand.h2.increment_flow_control_window(8 * MIB)
    hand.h2.update_settings({4: 8 * MIB})  # INITIAL_WINDOW_SIZE
    hand.send()
    hand.request(PING)
    await until(lambda: peer._served[0].full, bound=bounds.PROMPT, what="the socket is full")
    async with Client(peer.address) as other:
        assert await other.call(b"other") == ("OK", [b"other"])
    assert peer.arrivals[0].answered is None

    assert (await _trailers(hand))["grpc-status"] == "0"
    data = [e.data for e in hand.events if isinstance(e, h2.events.DataReceived)]
    assert len(b"".join(data)) > 4 * MIB


async def test_pings_are_noted_and_answered(peer: Peer, hand: Hand) -> None:
    before = time.monotonic()
    for _ in range(2):
        hand.h2.ping(b"ping0000")
        hand.send()
        await hand.until(h2.events.PingAckReceived)
    first, second = peer.connections[0].pings
    assert before < first < second < time.monotonic()


async def test_a_mute_peer_reads_but_says_nothing(peer: Peer, hand: Hand) -> None:
    hand.request(PING)
    await _trailers(hand)
    said = len(hand.received)

    peer.mute()
    hand.request(PING)
    hand.h2.ping(b"ping0000")
    hand.send()
    async with Hand(peer.path) as later:
        later.greet()
        later.request(PING)
        await peer.arrived(3)
        await until(lambda: peer.connections[0].pings, bound=bounds.PROMPT, what="the ping")
        await peer.close()
        assert await later.rest() == b""
    assert len(await hand.rest()) == said
    assert [arrival.answered is None for arrival in peer.arrivals] == [False, True, True]


async def test_a_silent_peer_accepts_and_says_nothing(socket_dir: Path) -> None:
    async with Peer(socket_dir / "p.sock", greeting="silent") as peer, Hand(peer.path) as hand:
        hand.greet()
        hand.request(PING)
        (arrival,) = await peer.arrived(1)
        await peer.close()
        assert await hand.rest() == b""
        assert arrival.answered is None


async def test_a_peer_may_speak_something_else(socket_dir: Path) -> None:
    garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    async with Peer(socket_dir / "p.sock", greeting=garbage) as peer:
        async with Client(peer.address) as client:
            assert (await client.call())[0] == "UNAVAILABLE"
        async with Hand(peer.path) as hand:
            hand.greet()
            hand.request(PING)
            await peer.arrived(1)
            await peer.close()
            assert await hand.rest() == garbage


async def test_who_comes_just_before_the_end_is_not_forgotten(peer: Peer) -> None:
    async with Hand(peer.path) as accepted_or_not, Hand(peer.path) as neither:
        await peer.close()
        for hand in (accepted_or_not, neither):
            await hand.rest()  # which ends


async def test_a_late_greeting_holds_up_every_answer(socket_dir: Path) -> None:
    async with Peer(socket_dir / "p.sock", greet_after=0.05) as peer, Hand(peer.path) as hand:
        before = time.monotonic()
        hand.greet()
        hand.request(PING)
        await hand.until(h2.events.RemoteSettingsChanged)
        greeted = time.monotonic() - before
        await _trailers(hand)
        (arrival,) = peer.arrivals
        assert greeted >= 0.05
        assert arrival.answered is not None
        assert arrival.answered - arrival.time >= 0.04


async def test_a_client_may_say_goodbye_and_still_get_its_answer(peer: Peer, hand: Hand) -> None:
    peer.answers(held(echo()))
    hand.request(PING)
    await peer.arrived(1)
    goaway = bytes.fromhex("000008070000000000") + bytes(8)
    hand.writer.write(goaway + bytes.fromhex("000008060000000000") + b"barrier!")
    await hand.until(h2.events.PingAckReceived)

    peer.release()
    assert (await _trailers(hand))["grpc-status"] == "0"


async def test_who_breaks_http2_is_sent_away_and_told_of(peer: Peer) -> None:
    async with Hand(peer.path) as hand:
        hand.writer.write(PREFACE + bytes.fromhex("000000010500000001"))  # HEADERS for SETTINGS
        await hand.rest()
    (connection,) = await peer.disconnected()
    assert (connection.ended_by, connection.problem != "") == ("peer", True)
    assert connection.problem in repr(connection)
