"""How many files this process may have open, and how many a process of the implementation has."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from .judging import did, not_run
from .processes import Process


def open_files() -> int:
    """Allow this process as many open files as the host lets it; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def descriptors_of(process: Process) -> int:
    """Return how many descriptors a process and its descendants have open."""
    count = 0
    for member in process.family():
        with suppress(psutil.NoSuchProcess):
            count += member.num_fds()
    return count


@dataclass(frozen=True, slots=True)
class _Limit:
    """Soft and hard limit of a process, as they were."""

    pid: int
    soft: int
    hard: int


@contextmanager
def no_more_files(process: Process) -> Iterator[None]:
    """Let a process and its descendants open no further file, for the length of a with block.

    Their soft limit becomes the lowest number that is free. The hard one stays: not everybody
    who lowers that may raise it again.

    Raises:
        NotRun: this host does not let us.
    """
    before = [
        _Limit(member.pid, *resource.prlimit(member.pid, resource.RLIMIT_NOFILE))
        for member in process.family()
    ]
    try:
        for one in before:
            _fill(one)
        did(f"let {process.name} open no further file")
        yield
    finally:
        for one in before:
            with suppress(ProcessLookupError):
                resource.prlimit(one.pid, resource.RLIMIT_NOFILE, (one.soft, one.hard))
        did(f"let {process.name} open files again")


def _fill(limit: _Limit) -> None:
    try:
        # Twice: what was opened or closed meanwhile is looked at again.
        for _ in range(2):
            soft = _lowest_free(limit.pid)
            resource.prlimit(limit.pid, resource.RLIMIT_NOFILE, (soft, limit.hard))
    except PermissionError as error:
        not_run(f"this host does not let us set limits of other processes: {error.strerror}")


def _lowest_free(pid: int) -> int:
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in range(len(taken) + 1) if number not in taken)
