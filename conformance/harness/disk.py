"""Disks that are soon full, or read-only: in a mount namespace of the process's own, or else."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .judging import did, not_run
from .namespaces import works
from .processes import Process

_MOUNT = 'mount -t tmpfs -o size=8m,mode=700 suite "$0" && exec "$@"'

# Exceeding the limit also sends SIGXFSZ, which would end a process that does not ignore it. POSIX
# has the limit in units of 512 bytes.
_LIMIT = "trap '' XFSZ; ulimit -f 8192 && exec \"$@\""

_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """How a process gets a disk that is soon full."""

    directory: Path
    words: str
    """What it is, in words."""
    wrapper: Sequence[str]
    """Command that executes the one it is followed by, on such a disk."""

    def seen_by(self, process: Process) -> Path:
        """Return the directory as the process sees it."""
        return Path(f"/proc/{process.pid}/root{self.directory}")


def small_disk(directory: Path) -> SmallDisk:
    """Let a directory, which is made, be on a disk that is soon full.

    That is a file system of 8 MiB which is mounted for one process alone, and goes with it, where
    this host lets us mount; else the process may write no file larger than 4 MiB.
    """
    directory.mkdir(mode=0o700)
    mounted = ("unshare", "--mount", "sh", "-c", _MOUNT, str(directory))
    if works((*mounted, "true")):
        return SmallDisk(directory, "a file system of 8 MiB (tmpfs)", mounted)
    return SmallDisk(directory, "4 MiB a file (RLIMIT_FSIZE)", ("sh", "-c", _LIMIT, "sh"))


@contextmanager
def read_only(directory: Path) -> Iterator[Sequence[str]]:
    """Let nobody write below a directory, for the length of a with block.

    Gives the command for whoever is to see it so.

    Raises:
        NotRun: this host forbids it, and permissions stop nobody: we are root.
    """
    mounted = ("unshare", "--mount", "sh", "-c", _READ_ONLY, str(directory))
    if works((*mounted, "true")):
        did(f"mounted {directory} read-only")
        yield mounted
        return
    if os.geteuid() == 0:
        not_run("this host lets root mount nothing, and permissions do not stop root")
    modes = {path: path.stat().st_mode for path in (directory, *directory.rglob("*"))}
    try:
        for path in modes:
            path.chmod(0o500 if path.is_dir() else 0o400)
        did(f"took the permission to write below {directory}")
        yield ()
    finally:
        # Without it the directory could not be removed either.
        for path, mode in modes.items():
            path.chmod(stat.S_IMODE(mode))
