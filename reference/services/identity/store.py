"""The DID store: SQLite in WAL mode, durable before the answer, with group commit.

Writes go through one Batcher and one thread: what comes while a commit is being
made shares the next one. A deleted DID leaves a tombstone, so that it stays
deleted and is never issued again (IDN-11).
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from blackhole.identity.v1 import identity_pb2 as pb

from ...config.service import Store as StoreSettings
from ...mesh.batcher import Batcher
from ...mesh.calls import NO_CALL, Call
from ...mesh.errors import NotFoundError

SCHEMA = """
CREATE TABLE IF NOT EXISTS dids (
    did TEXT PRIMARY KEY,
    document BLOB -- NULL: deleted
)
"""

Events = list[pb.DIDEvent]


class StoreError(Exception):
    """The store failed, or is gone."""


class Write(Protocol):
    """One change of the store, of one caller."""

    @property
    def call(self) -> Call:
        """The call that asks for it."""

    def apply(self, connection: sqlite3.Connection, now: Timestamp) -> Events:
        """Make the change, and return the events that it is."""


@dataclass(frozen=True, slots=True)
class Create:
    """Creation of DIDs, all or none; each document bears its DID and lacks its times."""

    documents: Sequence[pb.DIDDocument]
    call: Call = NO_CALL

    def apply(self, connection: sqlite3.Connection, now: Timestamp) -> Events:
        """Insert every document."""
        events = []
        for document in self.documents:
            document.created_at.CopyFrom(now)
            document.updated_at.CopyFrom(now)
            connection.execute(
                "INSERT INTO dids VALUES (?, ?)", (document.did, document.SerializeToString())
            )
            events.append(
                pb.DIDEvent(
                    did=document.did,
                    type=pb.EVENT_TYPE_CREATED,
                    timestamp=now,
                    created=pb.DIDCreated(document=document),
                )
            )
        return events


@dataclass(frozen=True, slots=True)
class Update:
    """Replacement of a DID's properties."""

    did: str
    properties: Mapping[str, str]
    call: Call = NO_CALL

    def apply(self, connection: sqlite3.Connection, now: Timestamp) -> Events:
        """Change the document; raises NotFoundError before anything was changed."""
        document = fetch(connection, self.did)
        document.properties.clear()
        document.properties.update(self.properties)
        document.updated_at.CopyFrom(now)
        _replace(connection, self.did, document.SerializeToString())
        event = pb.DIDEvent(
            did=self.did,
            type=pb.EVENT_TYPE_UPDATED,
            timestamp=now,
            updated=pb.DIDUpdated(document=document),
        )
        return [event]


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletion of a DID, for ever."""

    did: str
    call: Call = NO_CALL

    def apply(self, connection: sqlite3.Connection, now: Timestamp) -> Events:
        """Leave a tombstone; raises NotFoundError before anything was changed."""
        fetch(connection, self.did)
        _replace(connection, self.did, None)
        event = pb.DIDEvent(
            did=self.did, type=pb.EVENT_TYPE_DELETED, timestamp=now, deleted=pb.DIDDeleted()
        )
        return [event]


class DIDStore:
    """The DIDs below one directory.

    Args:
        directory: made if it is missing.
        settings: how writes share commits.
        committed: told every event and the call that made it, in the order of the commits,
            before the caller's answer, whether the caller is still there or not.
    """

    def __init__(
        self,
        directory: Path,
        settings: StoreSettings,
        committed: Callable[[pb.DIDEvent, Call], None],
    ) -> None:
        """Open the store.

        Raises:
            StoreError: it cannot be made or opened.
        """
        self._path = directory / "identity.db"
        self._committed = committed
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._writer, self._reader = connect(self._path), connect(self._path)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{directory}: {error}") from error
        self._file = _inode(self._path)
        self._write_thread = ThreadPoolExecutor(1, "store-write")
        self._read_thread = ThreadPoolExecutor(1, "store-read")
        self._batcher: Batcher[Write, Events] = Batcher(
            self._flush, max_size=settings.max_batch_size, max_wait=settings.max_batch_wait
        )

    def __repr__(self) -> str:
        """Show where it is, and whether it is there."""
        return f"DIDStore({str(self._path)!r}, present={self.present}, {self._batcher})"

    @property
    def present(self) -> bool:
        """Whether the file that was opened is still the one at its path (HLT-5).

        SQLite itself would go on for ever in a file that was renamed away.
        """
        return self._file is not None and _inode(self._path) == self._file

    async def write(self, change: Write) -> Events:
        """Make a change durable, and return its events.

        Raises:
            NotFoundError: it is of a DID that is not there.
            StoreError: the store failed; whether the change was made is unknown.
        """
        return await self._batcher.submit(change)

    async def read(self, did: str) -> pb.DIDDocument:
        """Return the document of a DID.

        Raises:
            NotFoundError: it never was, or was deleted.
            StoreError: the store failed.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_thread, self._read, did)

    async def close(self) -> None:
        """Finish what was begun, and close the files."""
        await self._batcher.close()
        for thread, connection in (
            (self._write_thread, self._writer),
            (self._read_thread, self._reader),
        ):
            thread.shutdown()
            connection.close()

    async def _flush(self, changes: list[Write]) -> Sequence[Events | Exception]:
        loop = asyncio.get_running_loop()
        results = await loop.run_in_executor(self._write_thread, self._commit, changes)
        for change, events in zip(changes, results, strict=True):
            if not isinstance(events, Exception):
                for event in events:
                    self._committed(event, change.call)
        return results

    def _commit(self, changes: Iterable[Write]) -> list[Events | Exception]:
        """Apply changes in one transaction, and make it durable.

        The store's presence is checked on both sides: before, so that nothing is
        written beside it; after, because only then is the answer a promise.
        """
        with self._present():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                results = [self._apply(change) for change in changes]
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        return results

    def _apply(self, change: Write) -> Events | Exception:
        now = Timestamp()
        now.FromNanoseconds(time.time_ns())
        try:
            return change.apply(self._writer, now)
        except NotFoundError as error:
            return error

    def _read(self, did: str) -> pb.DIDDocument:
        with self._present():
            return fetch(self._reader, did)

    @contextmanager
    def _present(self) -> Iterator[None]:
        try:
            self._require()
            yield
            self._require()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _require(self) -> None:
        if not self.present:
            raise StoreError(f"{self._path}: is gone")


def connect(path: Path) -> sqlite3.Connection:
    """Open the database so that a commit is on the disk before it returns."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(SCHEMA)
    return connection


def fetch(connection: sqlite3.Connection, did: str) -> pb.DIDDocument:
    """Return a document.

    Raises:
        NotFoundError: there is none.
    """
    row = connection.execute("SELECT document FROM dids WHERE did = ?", (did,)).fetchone()
    if row is None or row[0] is None:
        raise NotFoundError(f"there is no DID {did}")
    return pb.DIDDocument.FromString(row[0])


def _replace(connection: sqlite3.Connection, did: str, document: bytes | None) -> None:
    connection.execute("UPDATE dids SET document = ? WHERE did = ?", (document, did))


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
