"""The chain: which bytes of an entry are hashed, as `ledger.proto` lays them down (LED-1)."""

import hashlib
import struct

from blackhole.ledger.v1 import ledger_pb2 as pb

LABEL = b"blackhole.ledger.v1"
"""Keeps these hashes apart from all others, and one layout from the next."""

FIRST = bytes(hashlib.sha256().digest_size)
"""What stands for the hash before the first entry."""


def entry_hash(entry: pb.LedgerEntry) -> bytes:
    """Return the hash of an entry, from everything in it but the hash itself."""
    key, kind = entry.key.encode(), entry.kind.encode()
    time = entry.timestamp
    digest = hashlib.sha256(LABEL)
    digest.update(entry.previous_hash)
    digest.update(struct.pack(">QqI", entry.index, time.seconds, time.nanos))
    digest.update(struct.pack(">I", len(key)) + key)
    digest.update(struct.pack(">I", len(kind)) + kind)
    digest.update(struct.pack(">Q", len(entry.payload)) + entry.payload)
    return digest.digest()
