"""Verification of the whole ledger, when it is opened (LED-5)."""

import sqlite3
from pathlib import Path

from ..presence import StoreError
from .chain import FIRST, entry_hash
from .note import Note
from .table import entries


def verify(path: Path, connection: sqlite3.Connection, note: Note) -> None:
    """Go through the whole chain.

    Raises:
        StoreError: names the file, and the first index that is wrong.
    """
    # Before the entries: another process may append meanwhile.
    noted = note.read()
    known, digest = noted or (0, "")
    count, previous = 0, FIRST

    def tampered(index: int, why: str) -> StoreError:
        return StoreError(f"{path}: tampered with: entry {index} {why}")

    try:
        for entry in entries(connection, "ORDER BY position"):
            if entry.index != count:
                raise tampered(count, "is missing")
            if entry.previous_hash != previous or entry.hash != entry_hash(entry):
                raise tampered(count, "is not what was appended")
            count, previous = count + 1, entry.hash
            if count == known and previous.hex() != digest:
                raise tampered(entry.index, f"is not the one that {note.path} knows")
    except (TypeError, ValueError, sqlite3.Error) as error:
        raise tampered(count, f"cannot be read: {error}") from error
    if count < known:
        raise tampered(count, f"is missing: there were {known}")
    if noted is None and count:
        raise StoreError(f"{note.path}: tampered with: is empty, and there are {count} entries")
    if noted is None:
        note.begin()
