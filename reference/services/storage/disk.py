"""Words for files on the disk. All of them block, and run in threads."""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class OpenFile:
    """A descriptor that threads use one at a time, and that is closed once.

    A call that is cancelled leaves its thread behind: without the lock the number
    could be that of another file by the time it writes.

    Args:
        opener: opens the file when it is needed first.
    """

    def __init__(self, opener: Callable[[], int]) -> None:
        """Nothing is open yet."""
        self._opener = opener
        self._descriptor = -1
        self._closed = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Show the descriptor."""
        return f"OpenFile({self._descriptor}, closed={self._closed})"

    @contextmanager
    def held(self) -> Iterator[int]:
        """Have the descriptor to oneself, for the length of a with block.

        Raises:
            OSError: it cannot be opened, or was closed.
        """
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "the file was closed")
            if self._descriptor < 0:
                self._descriptor = self._opener()
            yield self._descriptor

    def close(self) -> bool:
        """Close it, for good; tell whether it had been open."""
        with self._lock:
            self._closed = True
            if self._descriptor < 0:
                return False
            os.close(self._descriptor)
            self._descriptor = -1
            return True


def make_locked(path: Path) -> int:
    """Make a file and lock it, until it is closed or its process is gone; return its descriptor.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        # Another process that starts may have taken it for a leftover, before it was locked.
        if os.fstat(file).st_nlink:
            return file
        os.close(file)


def remove_leftovers(directory: Path) -> None:
    """Remove the files that nobody has locked.

    Raises:
        OSError: the directory cannot be read, or written to.
    """
    for path in directory.iterdir():
        # Another process that uploads here may remove its own meanwhile.
        with suppress(FileNotFoundError):
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            except BlockingIOError:
                continue
            finally:
                os.close(file)


def write_all(file: int, data: bytes) -> None:
    """Write all of the data, in as many calls as it takes."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
