"""Whether a store is still where it was opened, and health that says so (HLT-5)."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

from ..mesh.health import NOT_SERVING, SERVING, Health

LOOKS = 4
"""Looks at the store in one `health.watch_interval`: a change is known well within it."""


class StoreError(Exception):
    """The store failed, or is gone."""


class Store(Protocol):
    """What keeps something on the disk."""

    @property
    def present(self) -> bool:
        """Whether what was opened is still the one at its path."""


def inode(path: Path) -> tuple[int, int] | None:
    """Return what tells a file or directory from every other; None when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def sync_directory(path: Path) -> None:
    """Make durable what was linked into a directory, or removed from it."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@asynccontextmanager
async def followed(store: Store, health: Health, interval: float) -> AsyncIterator[None]:
    """Keep health in step with a store, for the length of a with block.

    Args:
        store: looked at several times in each interval.
        health: told what is seen.
        interval: `health.watch_interval`, in seconds.
    """
    monitor = asyncio.create_task(follow(store, health, interval / LOOKS))
    try:
        yield
    finally:
        monitor.cancel()
        with suppress(asyncio.CancelledError):
            await monitor


async def follow(store: Store, health: Health, interval: float) -> None:
    """Look at the store every `interval` seconds, and say what is seen."""
    while True:
        health.set(SERVING if store.present else NOT_SERVING)
        await asyncio.sleep(interval)
