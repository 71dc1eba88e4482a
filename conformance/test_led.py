"""Chapter 10: the ledger's chain, while it runs (LED-1 to LED-3)."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from .harness.bounds import DEADLINE, until
from .harness.judging import did, expect
from .harness.ledger import Ledger, expect_chain
from .harness.nodes import Node

LARGEST = 1 << 20
"""Bytes of a payload at most."""

ENTRIES = [
    ("test", b"payload", ""),
    ("test", b"payload", "the-key"),
    ("EMPTY", b"", "!~"),
    ("storage.file.uploaded", bytes(range(256)), ""),
    ("a", b"\0", "k" * 128),
    ("k" * 64, b"short", ""),
    ("1_2-3.4", "naïve 漢字 😀".encode(), ""),
    ("test", b"x" * LARGEST, "large"),
    ("test", b"payload", ""),
    ("last", b"\xff" * 1000, "last"),
]
"""Kind, payload and key of ten entries."""


async def test_led_1_each_entry_is_chained_to_the_one_before(node: Node) -> None:
    """LED-1: Append returns consecutive indices from 0, each entry chained to the one before."""
    service = await node.serve(Ledger)
    before = time.time_ns()
    appended, times = [], [before]
    for kind, payload, key in ENTRIES:
        appended.append(await service.appended(kind, payload, key))
        times.append(time.time_ns())

    read = [await service.entry(index) for index in range(len(ENTRIES))]

    expect(
        [(entry.kind, entry.payload, entry.key) for entry in appended],
        equals=ENTRIES,
        what="kind, payload and key of the entries",
    )
    expect_chain(appended)
    for entry, begin, end in zip(appended, times, times[1:], strict=False):
        expect(
            entry.timestamp.ToNanoseconds(),
            at_least=begin,
            at_most=end,
            what=f"timestamp of entry {entry.index}: within the call",
        )
    expect(read, equals=appended, what="the entries as GetEntry has them")


async def test_led_1_a_key_names_one_entry(ledger: Ledger) -> None:
    """LED-1: An append that is repeated with its key is answered with the entry that is there."""
    first = await ledger.appended("test", b"payload", "a-key")
    await ledger.appended("test", b"between")

    again = await ledger.appended("test", b"payload", "a-key")
    others = {
        "another payload": await ledger.append("test", b"other", "a-key"),
        "another kind": await ledger.append("other", b"payload", "a-key"),
    }
    after = await ledger.appended("test", b"payload", "A-key")

    expect(again, equals=first, what="the repeated append")
    expect(
        {what: answer.code for what, answer in others.items()},
        equals=dict.fromkeys(others, "ALREADY_EXISTS"),
        what="appends with the same key",
    )
    expect(after.index, equals=first.index + 2, what="index of the next entry")


async def test_led_1_what_is_refused_takes_no_index(ledger: Ledger) -> None:
    """LED-1: A refused append names the field and takes no index; past the end is NOT_FOUND."""
    last = await ledger.appended("test", b"payload")

    beyond = await ledger.get(last.index + 1)
    far_beyond = await ledger.get((1 << 64) - 1)
    refused = {
        "an empty kind": await ledger.append("", b"payload"),
        "a long kind": await ledger.append("k" * 65, b"payload"),
        "a large payload": await ledger.append("test", b"x" * (LARGEST + 1)),
        "a long key": await ledger.append("test", b"payload", "k" * 129),
    }
    after = await ledger.appended("test", b"payload")

    expect(
        [answer.code for answer in (beyond, far_beyond)],
        equals=["NOT_FOUND"] * 2,
        what="GetEntry after the last, and of the largest index",
    )
    fields = dict(zip(refused, ("kind", "kind", "payload", "key"), strict=True))
    expect(
        {what: (answer.code, answer.fields) for what, answer in refused.items()},
        equals={what: ("INVALID_ARGUMENT", (field,)) for what, field in fields.items()},
        what="appends that are refused",
    )
    expect(after.index, equals=last.index + 1, what="index of the next entry")


async def test_led_2_concurrent_appends_make_one_chain(ledger: Ledger) -> None:
    """LED-2: Concurrent appends never share an index or fork the chain."""
    before = await ledger.appended("test", b"before")
    channels = [ledger.channel, *(ledger.connect() for _ in range(3))]

    async def caller(number: int) -> list[Any]:
        channel = channels[number % len(channels)]
        return [
            await ledger.appended("test", f"{number}, {turn}".encode(), channel=channel)
            for turn in range(20)
        ]

    callers = await asyncio.gather(*(caller(number) for number in range(32)))

    for number, own in enumerate(callers):
        expect(
            [entry.payload for entry in sorted(own, key=lambda entry: int(entry.index))],
            equals=[f"{number}, {turn}".encode() for turn in range(20)],
            what=f"payloads of caller {number}, in the order of their indices",
        )
    entries = sorted((entry for own in callers for entry in own), key=lambda entry: entry.index)
    expect_chain(entries, first=before.index + 1, before=before.hash)


async def test_led_3_a_stream_replays_and_then_follows(ledger: Ledger) -> None:
    """LED-3: StreamEntries has every entry from an index on, without a gap and none twice."""
    known = await asyncio.gather(*(ledger.appended("old", str(n).encode()) for n in range(150)))
    first = min(entry.index for entry in known)

    async def caller(number: int) -> None:
        for turn in range(50):
            known.append(await ledger.appended("new", f"{number}, {turn}".encode()))

    callers = asyncio.gather(*(caller(number) for number in range(4)))
    whole = await ledger.entries(0, ledger.connect())
    streams = []
    for count in (150, 210, 270):
        await until(partial(_are, known, count), bound=DEADLINE, what=f"{count} entries")
        for start in (first + 100, first + 160):
            streams.append((start, await ledger.entries(start, ledger.connect())))  # noqa: PERF401
        did(f"opened streams with {len(known) - 150} of 200 entries appended")
    await callers
    known.append(await ledger.appended("last", b"last"))
    last = known[-1].index

    known.sort(key=lambda entry: int(entry.index))
    for start, stream in streams:
        seen = await ledger.replayed(stream, last)
        _expect_entries(seen, known[start - first :], what=f"the stream from {start}")
    seen = await ledger.replayed(whole, last)
    _expect_entries(seen[first:], known, what=f"the stream from 0, from {first} on")
    expect_chain(seen)


def _are(entries: Sequence[Any], count: int) -> bool:
    return len(entries) >= count


def _expect_entries(seen: Sequence[Any], known: Sequence[Any], *, what: str) -> None:
    """Make sure that a stream had these entries, in this order; tell first by their indices."""
    expect(_indices(seen), equals=_indices(known), what=f"indices of {what}")
    expect(list(seen), equals=list(known), what=f"entries of {what}")


def _indices(entries: Sequence[Any]) -> list[int]:
    return [entry.index for entry in entries]
