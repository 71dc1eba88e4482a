"""The files below a directory, as a test compares them."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path


def files_below(directory: Path, *, but: Collection[str] = ()) -> dict[str, int]:
    """Return the size of every file below a directory, by its path from there.

    Args:
        directory: that there need not be.
        but: names of directories right below it that do not count.
    """
    found = {}
    for path in directory.rglob("*"):
        name = path.relative_to(directory)
        # Files come and go while one looks.
        with suppress(FileNotFoundError):
            if name.parts[0] not in but and not path.is_dir():
                found[str(name)] = path.lstat().st_size
    return found
