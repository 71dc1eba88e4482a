"""The table of the ledger's entries, and how they are found in it."""

import sqlite3
from collections.abc import Iterator

from blackhole.ledger.v1 import ledger_pb2 as pb

from ...mesh.errors import NotFoundError
from .chain import FIRST

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    position INTEGER PRIMARY KEY,
    key TEXT UNIQUE, -- NULL: none
    kind TEXT NOT NULL,
    nanoseconds INTEGER NOT NULL, -- since 1970
    previous_hash BLOB NOT NULL,
    hash BLOB NOT NULL,
    payload BLOB NOT NULL
)
"""

LARGEST_INDEX = (1 << 63) - 1
"""What SQLite can count to."""

PAGE = 1 << 20
"""Bytes that are read at once, but for the entry that exceeds them."""

AROUND = 256
"""What an entry takes beside its payload, about."""


def fetch(connection: sqlite3.Connection, index: int) -> pb.LedgerEntry:
    """Return one entry.

    Raises:
        NotFoundError: there is none.
    """
    wanted = min(index, LARGEST_INDEX)
    for entry in entries(connection, "WHERE position = ?", wanted):
        return entry
    raise NotFoundError(f"there is no entry {index}")


def page(connection: sqlite3.Connection, index: int) -> Iterator[pb.LedgerEntry]:
    """Yield entries from an index on, until they are a page."""
    size, first = 0, min(index, LARGEST_INDEX)
    for entry in entries(connection, "WHERE position >= ? ORDER BY position", first):
        yield entry
        size += AROUND + len(entry.payload)
        if size >= PAGE:
            break


def entries(
    connection: sqlite3.Connection, which: str, *values: object
) -> Iterator[pb.LedgerEntry]:
    """Yield the entries of a clause of SQL.

    Raises:
        TypeError, ValueError: what stands there is no entry.
    """
    columns = "position, key, kind, nanoseconds, previous_hash, hash, payload"
    found = connection.execute(f"SELECT {columns} FROM entries {which}", values)  # noqa: S608
    for position, key, kind, nanoseconds, previous_hash, digest, payload in found:
        entry = pb.LedgerEntry(
            index=position,
            key=key,
            kind=kind,
            previous_hash=previous_hash,
            hash=digest,
            payload=payload,
        )
        entry.timestamp.FromNanoseconds(nanoseconds)
        yield entry


def end(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """Return the index that comes next, and the hash that it is chained to."""
    last = "SELECT position + 1, hash FROM entries ORDER BY position DESC LIMIT 1"
    found: tuple[int, bytes] = connection.execute(last).fetchone() or (0, FIRST)
    return found


def row(entry: pb.LedgerEntry) -> tuple[object, ...]:
    """Return an entry as it is kept."""
    return (
        entry.index,
        entry.key or None,
        entry.kind,
        entry.timestamp.ToNanoseconds(),
        entry.previous_hash,
        entry.hash,
        entry.payload,
    )
