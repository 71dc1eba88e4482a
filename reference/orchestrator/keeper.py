"""Ends what an orchestrator leaves behind: `keeper.py SECONDS`, with its end of a pipe as stdin.

The orchestrator writes `+GROUP` and `-GROUP` lines as process groups come and go. When it is gone,
SIGKILL or not, the pipe ends: every group that is left gets SIGTERM, and SIGKILL after SECONDS.
Runs by itself, without site-packages, in a session of its own.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable

POLL = 0.02
"""Seconds between two looks at who is left."""


def follow(lines: Iterable[str]) -> set[int]:
    """Read what comes and goes until the pipe ends; return the groups that are left."""
    groups: set[int] = set()
    for line in lines:
        number = int(line[1:])
        groups.add(number) if line.startswith("+") else groups.discard(number)
    return groups


def tell(groups: Iterable[int], number: int) -> set[int]:
    """Signal groups, or only look for them with 0; return those that are there."""
    there = set()
    for group in groups:
        try:
            os.killpg(group, number)
            there.add(group)
        except ProcessLookupError:
            continue
    return there


def main() -> None:
    """Wait for the end, and bring it about."""
    # Ctrl-C at a terminal and the end of a session are the orchestrator's to handle.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = tell(follow(sys.stdin), signal.SIGTERM)
    end = time.monotonic() + float(sys.argv[1])
    while left and time.monotonic() < end:
        time.sleep(POLL)
        left = tell(left, 0)
    tell(left, signal.SIGKILL)


if __name__ == "__main__":
    main()
