"""How long processes under judgement waited for a CPU, as the kernel counted it.

The suite sees its own lateness by a ticker. A host that lets the suite run and the
implementation wait makes the implementation late all the same: that is not its fault.
"""

from pathlib import Path

_NANOSECONDS = 1e9


def waited(pid: int) -> float:
    """Return the seconds that a process's threads were ready to run and did not, so far.

    Zero where the kernel does not count it, and for a process that is gone.
    """
    total = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            # Time on a CPU, time waiting for one, and how often.
            total += int(thread.read_text(encoding="ascii").split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return total / _NANOSECONDS


class Starvation:
    """The waits of the processes that the suite started."""

    def __init__(self) -> None:
        """Follow nobody yet."""
        self._marks: dict[int, float] = {}

    def __repr__(self) -> str:
        """Show who is followed, and the longest wait."""
        return f"Starvation({sorted(self._marks)}, {self.seconds():.3f} s)"

    def follow(self, pid: int) -> None:
        """Count a process's waits from now on."""
        self._marks[pid] = waited(pid)

    def mark(self) -> None:
        """Begin anew: what was waited so far does not count. Whoever is gone is forgotten."""
        self._marks = {pid: waited(pid) for pid in self._marks if Path(f"/proc/{pid}").exists()}

    def seconds(self) -> float:
        """Return the waits since the mark, of the process that waited longest."""
        return max((waited(pid) - before for pid, before in self._marks.items()), default=0.0)


STARVATION = Starvation()
"""Of the processes that this one started."""
