"""One upload on the disk: a temporary file that becomes a file, or nothing.

All of it blocks, and runs in threads.
"""

import hashlib
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from secrets import token_hex

from blackhole.storage.v1 import storage_pb2 as pb

from ..presence import sync_directory
from .disk import OpenFile, make_locked, write_all
from .footer import footer_of


class Upload:
    """A file that is being written.

    Args:
        directory: of temporary files.
    """

    def __init__(self, directory: Path) -> None:
        """Nothing is on the disk before it is needed."""
        self._path = directory / token_hex(16)
        self._file = OpenFile(partial(make_locked, self._path))
        self._digest = hashlib.sha256()
        self._size = 0

    def __repr__(self) -> str:
        """Show where it is, and how far."""
        return f"Upload({str(self._path)!r}, size={self._size}, {self._file})"

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append chunks.

        Raises:
            OSError: the disk is full, or fails; or the upload is over.
        """
        with self._file.held() as file:
            for chunk in chunks:
                self._digest.update(chunk)
                self._size += len(chunk)
                write_all(file, chunk)

    def seal(self, info: pb.FileInfo) -> None:
        """Make the file whole and durable; nobody sees it yet.

        Args:
            info: what is known of the file; size and SHA-256 are filled in.

        Raises:
            OSError: the disk is full, or fails; or the upload is over.
        """
        with self._file.held() as file:
            info.size, info.sha256 = self._size, self._digest.digest()
            write_all(file, footer_of(info))
            os.fsync(file)

    def publish(self, target: Path) -> None:
        """Let the file appear, durably, under its name; never in the place of another one.

        Raises:
            FileExistsError: there is a file of that name.
            OSError: the disk fails, or the upload is over; there is no file.
        """
        with self._file.held():
            os.link(self._path, target)
            try:
                sync_directory(target.parent)
            except OSError:
                target.unlink()
                raise

    def discard(self) -> None:
        """Remove the temporary file; whatever comes afterwards fails.

        Raises:
            OSError: it cannot be removed; the next start will.
        """
        if self._file.close():
            # Without its lock, another process that starts may have removed it as a leftover.
            self._path.unlink(missing_ok=True)
