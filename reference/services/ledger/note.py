"""A note of how many entries the ledger has.

The chain shows an entry that was changed, but not that the last ones are
missing; and SQLite takes a write-ahead log that was tampered with for one that
ends there. So the number of entries and the last hash also stand in a file of
their own, written after each commit. It may lag behind the entries (the process
was killed between the two), and is never ahead of them unless somebody took
entries away.
"""

import os
from pathlib import Path

from blackhole.ledger.v1 import ledger_pb2 as pb

from ..presence import StoreError, sync_directory
from .chain import FIRST


class Note:
    """How many entries there are, and the hash of the last, in a file of its own.

    Args:
        path: the file, made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            StoreError: it cannot be opened.
        """
        self.path = path
        self._count = 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error

    def __repr__(self) -> str:
        """Show where it is."""
        return f"Note({str(self.path)!r})"

    def read(self) -> tuple[int, str] | None:
        """Return the number and the hash in hexadecimal; None when nothing was ever noted.

        Raises:
            StoreError: what stands there is no note.
        """
        if not (text := os.pread(self._file, 200, 0)):
            return None
        try:
            count, digest = text.decode("ascii").split()
            self._count = int(count)
        except ValueError as error:
            raise StoreError(f"{self.path}: tampered with: holds no number and hash") from error
        return self._count, digest

    def begin(self) -> None:
        """Note, durably, that there is no entry: from now on there always is a note."""
        self._put(0, FIRST)
        os.fsync(self._file)
        sync_directory(self.path.parent)

    def write(self, entry: pb.LedgerEntry) -> None:
        """Note that an entry is the last, unless a later one is noted already.

        It may be lost with the power, for an older note (see above).
        """
        if entry.index >= self._count:
            self._count = entry.index + 1
            self._put(self._count, entry.hash)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _put(self, count: int, digest: bytes) -> None:
        # Every note is equally long, and takes the place of the last in one step.
        os.pwrite(self._file, f"{count:020} {digest.hex()}\n".encode(), 0)
