"""Becomes the process of a service, once it may: `launcher.py LIMITS COMMAND…`.

It waits for a byte from the orchestrator, which tells the keeper first: where that is gone before,
nobody would ever end the service, so there is none (ORC-8). LIMITS is `KIND=NUMBER,…` by the
kernel's numbers. Runs by itself, without site-packages, in 10 ms: what is set here holds from the
first instruction of the service on, and no code runs in a process that was forked from one with
threads.
"""

import os
import resource
import sys

STDIN = 0


def main() -> None:
    """Wait, set the limits, soft and hard alike, and become the command."""
    limits, command = sys.argv[1], sys.argv[2:]
    if not os.read(STDIN, 1):
        sys.exit("the orchestrator is gone")
    os.dup2(os.open(os.devnull, os.O_RDONLY), STDIN)
    for limit in filter(None, limits.split(",")):
        kind, _, number = limit.partition("=")
        resource.setrlimit(int(kind), (int(number), int(number)))
    try:
        os.execvp(command[0], command)  # noqa: S606 - that is the purpose
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
