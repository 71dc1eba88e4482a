"""Namespaces of a process's own: what the host denies it is denied to nobody else."""

import subprocess
from collections.abc import Sequence

from .judging import not_run

_UNWATCHED = (
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"',
    "sh",
)

_SOON = 10
"""Seconds to enter a namespace."""


def unwatchable() -> Sequence[str]:
    """Return a command that executes the one it is followed by, which can watch no directory.

    The kernel gives it no inotify instance (EMFILE), which is how every library watches.

    Raises:
        NotRun: this host gives us no user namespace.
    """
    if not works((*_UNWATCHED, "true")):
        not_run("this host gives no user namespace in which inotify could be denied")
    return _UNWATCHED


def works(command: Sequence[str]) -> bool:
    """Tell whether a command ends well."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SOON, check=False)  # noqa: S603 - our own words
    except OSError:
        return False
    return done.returncode == 0
