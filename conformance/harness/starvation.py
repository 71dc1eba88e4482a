"""How long processes under judgement waited for a CPU, as the kernel counted it.

The suite sees its own lateness by a ticker. A host that lets the suite run and the
implementation wait makes the implementation late all the same: that is not its fault.
"""

from pathlib import Path


def waits(pid: int) -> dict[str, float]:
    """Return the seconds that each thread of a process was ready to run and did not, so far.

    Empty where the kernel does not count it, and for a process that is gone.
    """
    found = {}
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            # Time on a CPU, time waiting for one, and how often.
            found[thread.parent.name] = int(thread.read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            continue
    return found


def waited(pid: int) -> float:
    """Return the seconds that the threads of a process waited, together."""
    return sum(waits(pid).values())


class Starvation:
    """The waits of the processes that the suite started."""

    def __init__(self) -> None:
        """Follow nobody yet."""
        self._marks: dict[int, dict[str, float]] = {}

    def __repr__(self) -> str:
        """Show who is followed, and the longest wait."""
        return f"Starvation({sorted(self._marks)}, {self.seconds():.3f} s)"

    def follow(self, pid: int) -> None:
        """Count a process's waits from now on."""
        self._marks[pid] = waits(pid)

    def mark(self) -> None:
        """Begin anew: what was waited so far does not count. Whoever is gone is forgotten."""
        self._marks = {pid: waits(pid) for pid in self._marks if Path(f"/proc/{pid}").exists()}

    def seconds(self) -> float:
        """Return the waits since the mark, of the process whose threads waited longest together."""
        return max((sum(self._since(pid).values()) for pid in self._marks), default=0.0)

    def longest(self) -> float:
        """Return the waits since the mark of the one thread that waited longest.

        Threads that keep all CPUs busy wait for each other: together they do so on any host.
        """
        return max(
            (max(self._since(pid).values(), default=0.0) for pid in self._marks), default=0.0
        )

    def _since(self, pid: int) -> dict[str, float]:
        before = self._marks[pid]
        return {thread: now - before.get(thread, 0.0) for thread, now in waits(pid).items()}


STARVATION = Starvation()
"""Of the processes that this one started."""
