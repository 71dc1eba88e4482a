"""The forger: its bytes are what they say, its cases are whole, and it tells endings apart."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h2.events
import hpack
import pytest
from hyperframe.frame import Frame

from conformance.harness import bounds
from conformance.harness.addresses import UnixAddress
from conformance.harness.forged import (
    CLIENTS,
    SERVERS,
    Client,
    Ending,
    floods,
    frames,
    headers,
    messages,
    record,
    wire,
)
from conformance.harness.forged.server import MESSAGE, answered
from conformance.harness.forger import Forger
from conformance.harness.frames import framed
from conformance.harness.judging import NonConformance
from conformance.harness.listening import listen_at_path
from conformance.harness.peer import Peer
from conformance.harness.replies import fails, forged, ok

from .probing import PING, UNARY, Hand
from .probing import Client as Caller

BROKEN = "test-broken"


def _case(*parts: bytes, stream: int | None = None, opens: bool = True) -> Client:
    every = frozenset(Ending)
    return Client("test", "a test", "a rule", "an effect", every, lambda: parts,
                  stream=stream, opens=opens)  # fmt: skip


def _unary() -> Iterable[bytes]:
    return record.request(record.FORGED, UNARY), wire.data(record.FORGED, PING, end=True)


async def _ending(peer: Peer, case: Client) -> Ending:
    async with Forger(UnixAddress(peer.path)) as forger:
        if case.opens:
            await forger.greet()
        return await forger.forge(case)


@pytest.mark.parametrize(
    "made",
    [
        wire.settings((1, 2), (3, 4)),
        wire.window_update(5, 7),
        wire.reset(3, 8),
        wire.goaway(9, 1),
        wire.headers(1, [("a", "b")], end=True),
        wire.data(1, b"abc"),
        wire.frame(wire.Kind.UNKNOWN, b"abc", flags=0xFF, stream=wire.MOST),
    ],
)
def test_a_frame_is_what_another_library_reads(made: bytes) -> None:
    found, length = Frame.parse_frame_header(memoryview(made[:9]), strict=False)
    found.parse_body(memoryview(made[9:]))

    assert length == len(made) - 9
    assert (found.type or made[3]) == made[3]
    assert found.serialize()[9:] == made[9:]


def test_a_block_of_headers_needs_no_table() -> None:
    given = [(":path", "/x"), ("x-suite", "1"), ("x-suite", "1")]
    decoder = hpack.Decoder()

    for _ in range(2):
        found: Any = decoder.decode(wire.block(given))
        assert found == given
    assert not decoder.header_table.dynamic_entries


def test_a_length_may_be_a_lie() -> None:
    assert wire.frame(wire.Kind.PING, b"abc", length=8)[:4] == b"\x00\x00\x08\x06"


def test_no_case_hides_another() -> None:
    listed = (*frames.FRAMES, *headers.HEADERS, *floods.FLOODS, *messages.MESSAGES)

    assert len(CLIENTS) == len(listed)


@pytest.mark.parametrize("case", [*CLIENTS.values(), *SERVERS.values()], ids=lambda case: case.name)
def test_a_case_explains_itself(case: Client) -> None:
    assert all((case.what, case.rule, case.effect))
    assert case.permitted
    lenient = len(case.permitted) > 1 and Ending.TOLERATED in case.permitted
    assert case.because or not lenient


@pytest.mark.parametrize("case", CLIENTS.values(), ids=lambda case: case.name)
def test_a_case_of_a_client_is_bytes(case: Client) -> None:
    beginning = b"".join(itertools.islice(case.parts(), 100))

    assert beginning
    assert case.stream in (None, record.FORGED) or case.stream == 4


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("preface-wrong", Ending.ENDED),
        ("settings-of-5-bytes", Ending.ENDED),
        ("continuation-on-another-stream", Ending.ENDED),
        ("unknown-frame", Ending.TOLERATED),
        ("settings-of-the-future", Ending.TOLERATED),
    ],
)
async def test_endings_are_told_apart(peer: Peer, name: str, ending: Ending) -> None:
    assert await _ending(peer, CLIENTS[name]) is ending


async def test_a_call_that_succeeds_was_tolerated(peer: Peer) -> None:
    peer.answers(ok(b"x"), fails("NOT_FOUND"))

    case = _case(*_unary(), stream=record.FORGED)
    assert [await _ending(peer, case) for _ in range(2)] == [Ending.TOLERATED, Ending.REFUSED]


async def test_goaway_for_an_error_is_an_end(peer: Peer) -> None:
    peer.answers(forged(BROKEN, lambda _: [wire.goaway(0, 1)]))

    assert await _ending(peer, _case(*_unary(), stream=record.FORGED)) is Ending.ENDED


async def test_a_connection_that_stays_open_is_no_end(
    socket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "DEADLINE", 0.1)
    async with Peer(socket_dir / "p.sock", greeting="silent") as silent:
        with pytest.raises(NonConformance, match=r"end of a connection with a test.*not within"):
            await _ending(silent, _case(wire.PREFACE[:3], opens=False))


async def test_who_reads_nothing_is_told(socket_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "DEADLINE", 0.1)
    listener = listen_at_path(socket_dir / "p.sock")
    with listener, pytest.raises(NonConformance, match="a test: all of it is read"):
        async with Forger(UnixAddress(socket_dir / "p.sock")) as forger:
            await forger.forge(_case(*[bytes(1 << 20)] * 8))


async def test_a_control_that_fails_is_told(socket_dir: Path) -> None:
    async with Peer(socket_dir / "p.sock", greeting="closing") as closing:
        with pytest.raises(NonConformance, match="Check before anything is broken"):
            await _ending(closing, _case(b"x"))


async def test_a_peer_sends_what_is_forged(peer: Peer, hand: Hand) -> None:
    peer.answers(forged(BROKEN, lambda stream: [answered(stream)]))
    hand.request(PING)

    await hand.until(h2.events.StreamEnded)
    assert wire.data(1, MESSAGE) in hand.received
    assert repr(forged(BROKEN, lambda _: [])) == "forged('test-broken')"


async def test_a_peer_that_forged_and_closed_serves_the_next_connection(peer: Peer) -> None:
    peer.answers(forged(BROKEN, lambda _: [b"\x00" * 20], closes=True))

    async with Caller(peer.address) as caller:
        broken, _ = await caller.call(b"a")
    async with Caller(peer.address) as caller:
        right, _ = await caller.call(b"a")

    assert (broken != "OK", right) == (True, "OK")
    assert [one.answered is not None for one in peer.arrivals] == [True, True]


def test_messages_are_framed() -> None:
    assert framed(b"\x0a\x03key") == messages.MESSAGE
