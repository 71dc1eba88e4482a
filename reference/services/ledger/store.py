"""The ledger's store: what is appended, and how it is read again."""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from blackhole.ledger.v1 import ledger_pb2 as pb

from ...config.sections import Store as StoreSettings
from ...mesh.errors import AlreadyExistsError
from ..database import Change, Database
from .chain import entry_hash
from .note import Note
from .table import SCHEMA, end, entries, fetch, page, row
from .verification import verify


@dataclass(frozen=True, slots=True)
class Append:
    """One entry, without its place in the chain."""

    kind: str
    payload: bytes
    key: str

    def apply(self, connection: sqlite3.Connection, now: Timestamp) -> pb.LedgerEntry:
        """Chain the entry to the last one; the entry of the same key if there is one.

        Raises:
            AlreadyExistsError: that one is another.
        """
        if self.key and (found := self._found(connection)):
            return found
        # Asked for each time: another process, of another version, may append too.
        index, previous_hash = end(connection)
        entry = pb.LedgerEntry(
            index=index,
            key=self.key,
            kind=self.kind,
            payload=self.payload,
            timestamp=now,
            previous_hash=previous_hash,
        )
        entry.hash = entry_hash(entry)
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", row(entry))
        return entry

    def _found(self, connection: sqlite3.Connection) -> pb.LedgerEntry | None:
        found = next(entries(connection, "WHERE key = ?", self.key), None)
        if found and (found.kind, found.payload) != (self.kind, self.payload):
            raise AlreadyExistsError(f"the key {self.key} names another entry")
        return found


class LedgerStore(Database[pb.LedgerEntry]):
    """The entries below one directory, verified when they are opened.

    Args:
        directory: made if it is missing.
        settings: how writes share commits.
        committed: told every entry that was appended, in order; and again one that was
            asked for again by its key.
    """

    def __init__(
        self,
        directory: Path,
        settings: StoreSettings,
        committed: Callable[[pb.LedgerEntry], None],
    ) -> None:
        """Open the store, and verify the whole chain.

        Raises:
            StoreError: it cannot be opened, or somebody changed it: then the message names
                the file and the first index that is wrong (LED-5).
        """
        super().__init__(directory / "ledger.db", SCHEMA, settings, committed)
        self._note = Note(directory / "ledger.count")
        verify(self._path, self._reader, self._note)

    async def page(self, index: int) -> list[pb.LedgerEntry]:
        """Return some of the entries from an index on, in order; none when it ends before.

        Raises:
            StoreError: the store failed.
        """
        return await self.query(lambda connection: list(page(connection, index)))

    async def entry(self, index: int) -> pb.LedgerEntry:
        """Return one entry.

        Raises:
            NotFoundError: there is none of this index.
            StoreError: the store failed.
        """
        return await self.query(lambda connection: fetch(connection, index))

    async def close(self) -> None:
        """Finish what was begun, and close the files."""
        await super().close()
        self._note.close()

    def _commit(
        self, changes: Iterable[Change[pb.LedgerEntry]]
    ) -> list[pb.LedgerEntry | Exception]:
        results = super()._commit(changes)
        appended = [result for result in results if isinstance(result, pb.LedgerEntry)]
        if appended:
            self._note.write(max(appended, key=lambda entry: entry.index))
        return results
