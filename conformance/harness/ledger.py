"""The ledger under judgement: words for what it offers, and the chain as anybody can verify it."""

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

from blackhole.ledger.v1 import ledger_pb2 as pb

from .calls import Answer, Channel, Stream
from .judging import expect
from .service import ServedProcess

SERVICE = "blackhole.ledger.v1.LedgerService"

GENESIS = bytes(32)
"""What stands in the place of the hash before the first entry's."""


class Ledger(ServedProcess):
    """One running ledger, and a channel of the suite's to it."""

    NAME = "ledger"

    async def append(
        self, kind: str, payload: bytes, key: str = "", *, channel: Channel | None = None
    ) -> Answer:
        """Append an entry."""
        request = pb.AppendRequest(kind=kind, payload=payload, key=key)
        return await (channel or self.channel).unary(
            f"/{SERVICE}/Append", request, pb.AppendResponse
        )

    async def appended(
        self, kind: str, payload: bytes, key: str = "", *, channel: Channel | None = None
    ) -> Any:
        """Append an entry that must be taken, and return it."""
        return self._ok("Append", await self.append(kind, payload, key, channel=channel)).entry

    async def get(self, index: int) -> Answer:
        """Read an entry."""
        return await self.channel.unary(
            f"/{SERVICE}/GetEntry", pb.GetEntryRequest(index=index), pb.GetEntryResponse
        )

    async def entry(self, index: int) -> Any:
        """Read an entry that must be there."""
        return self._ok("GetEntry", await self.get(index)).entry

    async def entries(self, from_index: int, channel: Channel | None = None) -> Stream:
        """Stream the entries from an index on; each message holds one as `entry`."""
        return await (channel or self.channel).subscribe(
            f"/{SERVICE}/StreamEntries",
            pb.StreamEntriesRequest(from_index=from_index),
            pb.StreamEntriesResponse,
        )

    async def replayed(self, stream: Stream, last: int) -> list[Any]:
        """Read a stream of entries up to an index, or the first beyond it, and end it."""
        found = [(await stream.next()).entry]
        while found[-1].index < last:
            found.append((await stream.next()).entry)
        stream.cancel()
        return found

    async def lives(self) -> None:
        """Make sure that it still serves: append an entry and read it.

        Raises:
            NonConformance: it does not.
        """
        entry = await self.appended("suite.lives", b"still serves")
        expect((await self.entry(entry.index)).payload, equals=b"still serves", what="still serves")


def hash_of(entry: Any) -> bytes:
    """Return the hash that an entry must have (ledger.proto, LedgerEntry.hash)."""
    key, kind = entry.key.encode(), entry.kind.encode()
    return hashlib.sha256(
        b"blackhole.ledger.v1"
        + entry.previous_hash
        + struct.pack(">Qqi", entry.index, entry.timestamp.seconds, entry.timestamp.nanos)
        + struct.pack(">I", len(key))
        + key
        + struct.pack(">I", len(kind))
        + kind
        + struct.pack(">Q", len(entry.payload))
        + entry.payload
    ).digest()


def expect_chain(entries: Sequence[Any], *, first: int = 0, before: bytes = GENESIS) -> None:
    """Make sure that entries are consecutive, and each is chained to the one before.

    Args:
        entries: in the order of their indices.
        first: index of the first.
        before: hash of the entry before that.

    Raises:
        NonConformance: they are not.
    """
    expect(
        [entry.index for entry in entries],
        equals=list(range(first, first + len(entries))),
        what="indices of the entries",
    )
    for entry in entries:
        expect(
            (entry.previous_hash.hex(), entry.hash.hex()),
            equals=(before.hex(), hash_of(entry).hex()),
            what=f"(previous_hash, hash) of entry {entry.index}",
        )
        before = entry.hash
