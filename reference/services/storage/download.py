"""One download from the disk. All of it blocks, and runs in threads."""

import os
from pathlib import Path

from blackhole.storage.v1 import storage_pb2 as pb

from .disk import OpenFile
from .footer import read_footer

AT_ONCE = 4
"""Chunks that are read by one step of a thread: each step costs as much as a chunk."""


class Download:
    """A file that is being read, also while somebody deletes it.

    Args:
        path: the file.
        chunk_bytes: size of a chunk.
    """

    def __init__(self, path: Path, chunk_bytes: int) -> None:
        """Nothing is open before it is needed."""
        self._path = path
        self._chunk_bytes = chunk_bytes
        self._file = OpenFile(self._open)
        self._info = pb.FileInfo()
        self._offset = 0

    def __repr__(self) -> str:
        """Show where it is, and how far."""
        return f"Download({str(self._path)!r}, offset={self._offset}, {self._file})"

    def info(self) -> pb.FileInfo:
        """Return what is known of the file.

        Raises:
            FileNotFoundError: there is no such file.
            OSError, ValueError: it cannot be read, or is none of ours.
        """
        with self._file.held():
            return self._info

    def chunks(self) -> list[bytes]:
        """Return the next chunks; none at the end.

        Raises:
            FileNotFoundError: there is no such file.
            OSError, ValueError: it cannot be read, or is none of ours.
        """
        found: list[bytes] = []
        with self._file.held() as file:
            while len(found) < AT_ONCE and (left := self._info.size - self._offset):
                chunk = os.pread(file, min(self._chunk_bytes, left), self._offset)
                if not chunk:
                    raise ValueError(f"ends after {self._offset} of {self._info.size} bytes")
                self._offset += len(chunk)
                found.append(chunk)
        return found

    def close(self) -> None:
        """Close the file, for good."""
        self._file.close()

    def _open(self) -> int:
        file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._info = read_footer(file)
        except BaseException:
            os.close(file)
            raise
        return file
