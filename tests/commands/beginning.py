"""A beginning in Python that needs no network: its `.venv` is the one that runs the tests."""

import sys
from pathlib import Path

from conformance.commands import new


def begin(directory: Path) -> Path:
    """Write one, and put in place what its build would install; return the directory."""
    new.write(directory, directory.name, "python")
    provide(directory)
    return directory


def provide(directory: Path) -> None:
    """Put in place what the build of a beginning in Python would install, unless it is there."""
    program = directory / ".venv" / "bin" / "python"
    if program.exists():
        return
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    (directory / ".venv" / "installed").touch()
