"""How many files this process may have open."""

import resource
from contextlib import suppress


def open_files() -> int:
    """Allow this process as many open files as the host lets it; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
