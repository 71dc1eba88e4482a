"""The requirements of each release, as they stood when it was made.

A file a release holds their IDs, a line each. It is never changed afterwards, so that whoever is
held to a release is held to the same tomorrow.
"""

from pathlib import Path

from .places import RELEASES


def names(directory: Path = RELEASES) -> list[str]:
    """Return the releases that there are, from the first to the last."""
    return sorted((file.stem for file in directory.glob("*.txt")), key=_order)


def read(release: str, directory: Path = RELEASES) -> frozenset[str]:
    """Return the IDs of a release.

    Raises:
        ValueError: there is no such release; names those there are.
    """
    if release not in (known := names(directory)):
        raise ValueError(f"there is no release {release!r}; there are: {', '.join(known)}")
    return frozenset(listed(release, directory))


def listed(release: str, directory: Path = RELEASES) -> list[str]:
    """Return the lines of a release's file."""
    return (directory / f"{release}.txt").read_text(encoding="utf-8").splitlines()


def _order(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
