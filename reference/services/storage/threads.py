"""Threads that do the disk's work for coroutines, and what becomes of its errors."""

import asyncio
import errno
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from ...mesh.errors import ResourceExhaustedError
from ..presence import StoreError

THREADS = 16
"""A thread that makes a large file durable is busy for long, and others should not wait."""

FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""How a disk says that there is no room: the disk itself, a quota, a limit of the process."""

Done = TypeVar("Done")


class Threads:
    """A few threads."""

    def __init__(self) -> None:
        """Start none before there is work."""
        self._executor = ThreadPoolExecutor(THREADS, "storage")

    def submit(self, function: Callable[..., Done], *arguments: object) -> "asyncio.Future[Done]":
        """Have something done; nobody need wait for it, or learn how it failed."""
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, function, *arguments)
        done.add_done_callback(lambda future: future.cancelled() or future.exception())
        return done

    async def run(self, function: Callable[..., Done], *arguments: object) -> Done:
        """Have something done, and wait for it; errors as of `disk_errors`."""
        with disk_errors():
            return await self.submit(function, *arguments)

    def close(self) -> None:
        """Wait until all is done."""
        self._executor.shutdown()


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn the disk's errors into what they mean.

    Raises:
        ResourceExhaustedError: there is no room on the disk.
        StoreError: it failed otherwise.
        FileExistsError, FileNotFoundError: as they are; only who asked knows what they mean.
    """
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        if error.errno in FULL:
            raise ResourceExhaustedError("there is no room on the disk") from error
        raise StoreError(str(error)) from error
