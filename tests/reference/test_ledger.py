"""The ledger over a real socket: indices, the chain, keys, following, limits."""

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from blackhole.ledger.v1 import ledger_pb2 as pb
from blackhole.ledger.v1 import ledger_pb2_grpc
from reference.services.ledger.chain import entry_hash

from .serving import SOON, Node, refusal, short_node

SCHEMA = Path(__file__).parents[2] / "protos/blackhole/ledger/v1/ledger.proto"


@pytest.fixture
def node() -> Any:
    with short_node(services={"ledger": {}}, health={"watch_interval": "0.1s"}) as one:
        yield one


@pytest.fixture
async def channel(node: Node) -> AsyncIterator[Any]:
    async with node.serving("ledger") as one:
        yield one


def _stub(channel: Any) -> Any:
    return ledger_pb2_grpc.LedgerServiceStub(channel)


async def _append(channel: Any, payload: bytes = b"", key: str = "") -> pb.LedgerEntry:
    request = pb.AppendRequest(kind="test", payload=payload, key=key)
    entry: pb.LedgerEntry = (await _stub(channel).Append(request, timeout=SOON)).entry
    return entry


def _stream(channel: Any, from_index: int = 0) -> Any:
    request = pb.StreamEntriesRequest(from_index=from_index)
    return _stub(channel).StreamEntries(request, timeout=SOON)


async def _read(call: Any, number: int) -> list[pb.LedgerEntry]:
    return [(await call.read()).entry for _ in range(number)]


def _check_chain(entries: Sequence[pb.LedgerEntry]) -> None:
    """Check a chain as the comments of the schema say, without the reference's code."""
    previous = bytes(32)
    for index, entry in enumerate(entries):
        time = entry.timestamp
        hashed = b"blackhole.ledger.v1" + previous
        hashed += struct.pack(">QqI", index, time.seconds, time.nanos)
        for text in (entry.key.encode(), entry.kind.encode()):
            hashed += struct.pack(">I", len(text)) + text
        hashed += struct.pack(">Q", len(entry.payload)) + entry.payload
        assert (entry.index, entry.previous_hash) == (index, previous)
        assert entry.hash == hashlib.sha256(hashed).digest()
        previous = entry.hash


def test_the_example_of_the_schema_is_right() -> None:
    timestamp = Timestamp()
    timestamp.FromJsonString("2026-11-25T18:35:00.000000001Z")
    entry = pb.LedgerEntry(
        index=0,
        key="k",
        kind="test",
        payload=b"payload",
        timestamp=timestamp,
        previous_hash=bytes(32),
    )

    assert f"// {entry_hash(entry).hex()}." in SCHEMA.read_text()


async def test_entries_are_chained_from_index_zero(channel: Any) -> None:
    entries = [await _append(channel, b"%d" % number, f"key-{number % 2}") for number in range(2)]
    entries.append(await _append(channel, b""))

    _check_chain(entries)
    assert await _read(_stream(channel), 3) == entries
    for entry in entries:
        answer = await _stub(channel).GetEntry(pb.GetEntryRequest(index=entry.index))
        assert answer.entry == entry


async def test_appends_at_once_share_neither_index_nor_predecessor(channel: Any) -> None:
    entries = await asyncio.gather(*(_append(channel, b"%d" % n) for n in range(100)))

    _check_chain(sorted(entries, key=lambda entry: entry.index))


@pytest.mark.parametrize("index", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
async def test_an_entry_that_is_not_there_is_not_found(channel: Any, index: int) -> None:
    call = _stub(channel).GetEntry(pb.GetEntryRequest(index=index), timeout=SOON)

    assert await refusal(call) == ("NOT_FOUND", f"there is no entry {index}", [])


async def test_a_key_names_one_entry_for_ever(channel: Any) -> None:
    first = await _append(channel, b"x", "k")
    await _append(channel, b"x", "l")

    again = await _append(channel, b"x", "k")
    other = pb.AppendRequest(kind="test", payload=b"y", key="k")
    kind = pb.AppendRequest(kind="tset", payload=b"x", key="k")

    assert again == first
    for request in (other, kind):
        code, message, _ = await refusal(_stub(channel).Append(request, timeout=SOON))
        assert (code, message) == ("ALREADY_EXISTS", "the key k names another entry")
    assert (await _append(channel)).index == 2


async def test_a_key_that_comes_twice_at_once_is_one_entry(channel: Any) -> None:
    entries = await asyncio.gather(*(_append(channel, b"x", "k") for _ in range(10)))

    assert {entry.index for entry in entries} == {0}


async def test_following_has_no_gap_and_nothing_twice(channel: Any) -> None:
    appended = [await _append(channel, b"%d" % number) for number in range(5)]
    call = _stream(channel, 2)
    assert await call.initial_metadata() is not None

    seen = asyncio.create_task(_read(call, 103))
    appended += await asyncio.gather(*(_append(channel, b"%d" % n) for n in range(100)))

    appended.sort(key=lambda entry: entry.index)
    assert await seen == appended[2:]


async def test_one_can_wait_for_an_index_to_come(channel: Any) -> None:
    call, far = _stream(channel, 1), _stream(channel, (1 << 64) - 1)
    await far.initial_metadata()

    await _append(channel, b"0")
    await _append(channel, b"1")

    assert [entry.payload for entry in await _read(call, 1)] == [b"1"]
    far.cancel()


async def test_what_another_process_appends_is_seen_too(node: Node, channel: Any) -> None:
    call = _stream(channel)
    await _append(channel, b"0")
    assert [entry.index for entry in await _read(call, 1)] == [0]

    node.settings["services"]["ledger"]["unix_socket"] = str(node.root / "s" / "other.sock")
    async with node.serving("ledger") as other:
        entry = await _append(other, b"1")
        assert await _read(call, 1) == [entry]
        entries = [await _append(one, b"2") for one in (channel, other, channel)]

    assert [one.index for one in entries] == [2, 3, 4]
    call.cancel()


async def test_a_slow_reader_misses_nothing(channel: Any) -> None:
    call = _stream(channel)
    payload = bytes(range(256)) * 2048
    for _ in range(12):
        await _append(channel, payload)

    entries = await _read(call, 12)

    _check_chain(entries)


async def test_followers_end_with_the_service(channel: Any) -> None:
    call = _stream(channel)
    await call.initial_metadata()

    channel.service.drain()

    assert (await refusal(call))[:2] == ("UNAVAILABLE", "the service is draining")


BAD = {
    "no kind": (pb.AppendRequest(), ["kind"]),
    "long kind": (pb.AppendRequest(kind="k" * 65), ["kind"]),
    "kind with a slash": (pb.AppendRequest(kind="a/b"), ["kind"]),
    "long key": (pb.AppendRequest(kind="k", key="k" * 129), ["key"]),
    "key with a blank": (pb.AppendRequest(kind="k", key="a b"), ["key"]),
    "key with a newline": (pb.AppendRequest(kind="k", key="a\n"), ["key"]),
    "large payload": (pb.AppendRequest(kind="k", payload=bytes((1 << 20) + 1)), ["payload"]),
    "everything": (
        pb.AppendRequest(payload=bytes((1 << 20) + 1), key="ä"),
        ["kind", "payload", "key"],
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_appended_is_refused_by_name(channel: Any, case: str) -> None:
    request, named = BAD[case]

    code, _, found = await refusal(_stub(channel).Append(request, timeout=SOON))

    assert (code, found) == ("INVALID_ARGUMENT", named)
    assert (await _append(channel)).index == 0


async def test_the_largest_entry_can_be_read(node: Node) -> None:
    node.settings["limits"] = {"max_message_bytes": 5000}
    async with node.serving("ledger") as channel:
        key, payload = "k" * 128, bytes(5000 - 1024)
        request = pb.AppendRequest(kind="k" * 64, payload=payload, key=key)
        entry = (await _stub(channel).Append(request, timeout=SOON)).entry

        assert await _read(_stream(channel), 1) == [entry]
        request.payload += b"x"
        assert (await refusal(_stub(channel).Append(request)))[2] == ["payload"]


async def test_a_store_that_is_gone_refuses_and_comes_back(node: Node, channel: Any) -> None:
    await _append(channel)
    away = node.root / "away"

    node.data("ledger").rename(away)
    refused = await refusal(_stub(channel).Append(pb.AppendRequest(kind="k"), timeout=SOON))
    read = await refusal(_stub(channel).GetEntry(pb.GetEntryRequest(), timeout=SOON))
    away.rename(node.data("ledger"))

    assert refused == ("INTERNAL", "failed to append the entry", [])
    assert read == ("INTERNAL", "internal error", [])
    assert (await _append(channel)).index == 1
