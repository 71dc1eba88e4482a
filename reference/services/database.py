"""A durable database: SQLite in WAL mode, on the disk before the answer, with group commit.

Writes go through one Batcher and one thread: what comes while a commit is being
made shares the next one.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context, copy_context
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from ..config.sections import Store as StoreSettings
from ..mesh.batcher import Batcher
from ..mesh.errors import DomainError, ResourceExhaustedError
from .presence import StoreError, inode

Result = TypeVar("Result")
Made_co = TypeVar("Made_co", covariant=True)
Found = TypeVar("Found")


class Change(Protocol[Made_co]):
    """One change of the database, of one caller."""

    def apply(self, connection: sqlite3.Connection, now: Timestamp) -> Made_co:
        """Make the change, and return what it is; a DomainError comes before any change."""


class Database(Generic[Result]):
    """One SQLite file.

    Args:
        path: the file; its directory is made if it is missing.
        schema: SQL that makes what is missing.
        settings: how writes share commits.
        committed: told every result, in the order of the commits, before its caller and in
            its context.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        settings: StoreSettings,
        committed: Callable[[Result], None],
    ) -> None:
        """Open the database.

        Raises:
            StoreError: it cannot be made, opened or written to.
        """
        self._path = path
        self._committed = committed
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._writer, self._reader = connect(path, schema), connect(path, schema)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path.parent}: {error}") from error
        self._file = inode(path)
        self._write_thread = ThreadPoolExecutor(1, "store-write")
        self._read_thread = ThreadPoolExecutor(1, "store-read")
        self._batcher: Batcher[tuple[Change[Result], Context], Result] = Batcher(
            self._flush, max_size=settings.max_batch_size, max_wait=settings.max_batch_wait
        )

    def __repr__(self) -> str:
        """Show where it is, and whether it is there."""
        name = type(self).__name__
        return f"{name}({str(self._path)!r}, present={self.present}, {self._batcher})"

    @property
    def present(self) -> bool:
        """Whether the file that was opened is still the one at its path (HLT-5).

        SQLite itself would go on for ever in a file that was renamed away.
        """
        return self._file is not None and inode(self._path) == self._file

    async def write(self, change: Change[Result]) -> Result:
        """Make a change durable, and return what it is.

        Raises:
            DomainError: it cannot be made; nothing was changed.
            ResourceExhaustedError: the disk is full.
            StoreError: the database failed; whether the change was made is unknown.
        """
        return await self._batcher.submit((change, copy_context()))

    async def query(self, query: Callable[[sqlite3.Connection], Found]) -> Found:
        """Return what a query finds.

        Raises:
            DomainError: whatever the query itself raises.
            StoreError: the database failed.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_thread, self._query, query)

    async def close(self) -> None:
        """Finish what was begun, and close the files."""
        await self._batcher.close()
        for thread, connection in (
            (self._write_thread, self._writer),
            (self._read_thread, self._reader),
        ):
            thread.shutdown()
            connection.close()

    async def _flush(
        self, items: list[tuple[Change[Result], Context]]
    ) -> Sequence[Result | Exception]:
        loop = asyncio.get_running_loop()
        changes = [change for change, _ in items]
        results = await loop.run_in_executor(self._write_thread, self._commit, changes)
        for (_, context), result in zip(items, results, strict=True):
            if not isinstance(result, Exception):
                context.run(self._committed, result)
        return results

    def _commit(self, changes: Iterable[Change[Result]]) -> list[Result | Exception]:
        """Apply changes in one transaction, and make it durable.

        The file's presence is checked on both sides: before, so that nothing is
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

    def _apply(self, change: Change[Result]) -> Result | Exception:
        now = Timestamp()
        now.FromNanoseconds(time.time_ns())
        try:
            return change.apply(self._writer, now)
        except DomainError as error:
            return error

    def _query(self, query: Callable[[sqlite3.Connection], Found]) -> Found:
        with self._present():
            return query(self._reader)

    @contextmanager
    def _present(self) -> Iterator[None]:
        try:
            self._require()
            yield
            self._require()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise ResourceExhaustedError("the disk is full") from error
            raise StoreError(f"{self._path}: {error}") from error

    def _require(self) -> None:
        if not self.present:
            raise StoreError(f"{self._path}: is gone")


def connect(path: Path, schema: str) -> sqlite3.Connection:
    """Open a database so that a commit is on the disk before it returns.

    Raises:
        sqlite3.Error: it cannot be opened or written to.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # A file that can only be read is found out here, and not by the first caller.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(schema)
    connection.execute("COMMIT")
    return connection
