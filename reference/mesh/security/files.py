"""Files that are renewed while the process runs: looked at again, and kept when broken."""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ..errors import StartError
from ..telemetry.logging import logger

Content = TypeVar("Content")

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Bits of a file's mode that let others than its owner at it."""


class UnusableError(Exception):
    """The content of a file cannot be used; the message says why, and holds none of it."""


class WatchedFile(Generic[Content]):
    """What a file holds, as it was when it was last good.

    It is looked at when somebody asks, but no more often than at the interval. What counts is
    the content: two files can have the same size, time and inode one after the other.

    Args:
        field: of the configuration, which names the file.
        path: the file.
        parse: makes of the bytes what is asked for, or raises UnusableError.
        interval: seconds.
        private: whether a file that others than its owner can use is refused.
        clock: seconds, never going back.

    Raises:
        StartError: it cannot be used; the message holds the field and the path.
    """

    def __init__(  # noqa: PLR0913 - the last two have defaults
        self,
        field: str,
        path: Path,
        parse: Callable[[bytes], Content],
        interval: float,
        *,
        private: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read it."""
        self._field = field
        self._path = path
        self._parse = parse
        self._interval = interval
        self._private = private
        self._clock = clock
        self._trouble = ""
        self._due = clock() + interval
        try:
            self._bytes = read(path, private=private)
            self._content = parse(self._bytes)
        except UnusableError as error:
            raise StartError(f"{field}: {path}: {error}") from error

    def __repr__(self) -> str:
        """Show the path, and what is wrong with the newest content."""
        trouble = f", {self._trouble}" if self._trouble else ""
        return f"WatchedFile({str(self._path)!r}{trouble})"

    def current(self) -> Content:
        """Return what it holds; another object once it was renewed."""
        if (now := self._clock()) >= self._due:
            self._due = now + self._interval
            self._look()
        return self._content

    def _look(self) -> None:
        """Take what is in the file, if it is new and good; tell what is wrong with it, once."""
        try:
            if (found := read(self._path, private=self._private)) != self._bytes:
                self._content = self._parse(found)
                self._bytes = found
                logger().info("file renewed", field=self._field, path=str(self._path))
            trouble = ""
        except UnusableError as error:
            trouble = str(error)
            if trouble != self._trouble:
                logger().error(f"{self._field}: {self._path}: {trouble}; the old one stays in use")
        self._trouble = trouble


def read(path: Path, *, private: bool) -> bytes:
    """Return the content of a file.

    Raises:
        UnusableError: it cannot be read, or is `private` and others can use it too.
    """
    try:
        with path.open("rb") as file:
            if private and os.fstat(file.fileno()).st_mode & OTHERS:
                raise UnusableError("others can read it: its mode must be 0600 or less")
            return file.read()
    except OSError as error:
        raise UnusableError(error.strerror or str(error)) from error
