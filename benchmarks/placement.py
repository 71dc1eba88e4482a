"""Which CPUs measure, and which are measured: their sharing is the largest noise there is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Placement:
    """The last CPU for whoever measures, all others for what is measured.

    With one CPU alone there is nothing to divide.
    """

    def __init__(self) -> None:
        """Look which there are."""
        self._all = sorted(os.sched_getaffinity(0))
        alone = len(self._all) == 1
        self.measuring = set(self._all if alone else self._all[-1:])
        self.measured = set(self._all if alone else self._all[:-1])

    def __str__(self) -> str:
        """Name both."""
        return f"client on CPU {_named(self.measuring)}, servers on CPU {_named(self.measured)}"

    def take(self) -> None:
        """Keep every thread of this process on the measuring CPU."""
        self._put_all(self.measuring)

    def give_back(self) -> None:
        """Let every thread of this process run anywhere again."""
        self._put_all(set(self._all))

    @contextmanager
    def spawning(self) -> Iterator[None]:
        """Let what this thread starts meanwhile run on the other CPUs."""
        os.sched_setaffinity(0, self.measured)
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.measuring)

    @staticmethod
    def _put_all(cpus: set[int]) -> None:
        for thread in Path("/proc/self/task").iterdir():
            # A thread may end meanwhile.
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cpus)


def pin(number: int) -> None:
    """Keep this process on one CPU, if there are two."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:
        os.sched_setaffinity(0, {cpus[number]})


def _named(cpus: set[int]) -> str:
    return ", ".join(str(cpu) for cpu in sorted(cpus))
