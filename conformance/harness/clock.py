"""A wall clock that the suite steps while a process runs; its monotonic clock goes on.

By libfaketime, which the dynamic loader puts between the process and its C library. Version 0.9.10
makes `clock_nanosleep` fail where it leaves the monotonic clock alone, and one that does not leave
it alone steps both: so each library that is found is tried before it is believed.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from .judging import did, not_run
from .processes import Process, environment

HOUR = 3600.0

_PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
"""Where the dynamic loader looks by itself."""

_NAMES = ("libfaketimeMT.so.1", "libfaketime.so.1")
"""Names of the library; the first is the one for threads, where there are two."""

_SHARED = Path("/dev/shm")  # noqa: S108 - where libfaketime keeps two files a process
"""They stay behind where a process is killed."""

_SOON = 20.0
"""Seconds for a process to try a library; seen: 0.1. A wrong one makes it wait for ever."""

_TRY = """
import os, sys, threading, time

def stepped(text):
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(text)
    os.rename(sys.argv[1] + ".new", sys.argv[1])

for seconds in (3600, -3600):
    stepped("+0")
    wall, steady = time.time(), time.monotonic()
    stepped("%+d" % seconds)
    time.sleep(0.01)
    waits = threading.Condition()
    with waits:
        waits.wait(0.01)
    assert abs(time.time() - wall - seconds) < 60, "the wall clock is not stepped"
    assert 0.02 <= time.monotonic() - steady < 60, "the monotonic clock is stepped too"
"""
"""Does once what a test does: steps the clock, sleeps, and waits for what does not come."""


class WallClock:
    """The wall clock of the processes that are started with `wrapper`.

    Args:
        library: libfaketime.
        file: says by how much their clock is off.
    """

    def __init__(self, library: Path, file: Path) -> None:
        """Begin with the right time."""
        self._library = library
        self._file = file
        self._worn: list[Process] = []
        self._write("+0")

    def __repr__(self) -> str:
        """Show by how much it is off."""
        return f"WallClock({self._file.read_text(encoding='ascii').strip()})"

    @property
    def wrapper(self) -> Sequence[str]:
        """Command that executes the one it is followed by, with this clock."""
        return ("env", *(f"{name}={value}" for name, value in self.variables.items()))

    @property
    def variables(self) -> dict[str, str]:
        """What is added to the environment."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # The file is read at each look at the clock: else for ten seconds not.
            "FAKETIME_NO_CACHE": "1",
            # By either name: which one is known depends on the version.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # Files have the times that they have.
            "NO_FAKE_STAT": "1",
        }

    def step(self, seconds: float) -> None:
        """Put the clock forward, or back: from now on it is off by so many seconds."""
        did(f"stepped the wall clock: it is off by {seconds:+g} s")
        self._write(f"{seconds:+g}")

    def worn_by(self, process: Process) -> None:
        """Note who was started with it, so that nothing of theirs stays behind."""
        self._worn.append(process)

    def close(self) -> None:
        """Remove what libfaketime leaves of processes that are killed; others need it no more."""
        for process in self._worn:
            forget(process.pid, *(member.pid for member in process.family()))

    def _write(self, text: str) -> None:
        # Renamed into place: never read half.
        part = self._file.with_suffix(".new")
        part.write_text(f"{text}\n", encoding="ascii")
        part.rename(self._file)


def forget(*pids: int) -> None:
    """Remove what libfaketime keeps of processes."""
    for pid in pids:
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            (_SHARED / name).unlink(missing_ok=True)


@contextmanager
def wall_clock(directory: Path) -> Iterator[WallClock]:
    """Give a wall clock that can be stepped, for the length of a with block.

    Args:
        directory: where the file is that says how.

    Raises:
        NotRun: this host has no libfaketime that does it.
    """
    library, tried = _found()
    if library is None:
        not_run(f"no wall clock can be stepped here: {tried}")
    clock = WallClock(library, directory / "clock")
    try:
        yield clock
    finally:
        clock.close()


def candidates() -> list[Path]:
    """Return every libfaketime of this host: that of the Python package, then the system's."""
    directories: list[Path] = []
    if (package := find_spec("libfaketime")) is not None:
        inside = package.submodule_search_locations or []
        directories += [Path(place, "vendor/libfaketime/src") for place in inside]
    places = [Path(place) for place in _PLACES]
    if command := shutil.which("faketime"):
        places.append(Path(command).resolve().parents[1] / "lib")
    for place in places:
        directories += [place / "faketime", *sorted(place.glob("*/faketime")), place]
    found = (directory / name for directory in directories for name in _NAMES)
    return list(dict.fromkeys(file for file in found if file.is_file()))


@cache
def _found() -> tuple[Path | None, str]:
    """Return the first library that does it, and what is wrong with the others."""
    problems = {}
    for library in candidates():
        if not (problem := trouble_with(library)):
            return library, ""
        problems[library] = problem
    told = "; ".join(f"{library}: {problem}" for library, problem in problems.items())
    return None, told or "there is no libfaketime"


def trouble_with(library: Path) -> str:
    """Return what is wrong with a library; empty: it does what is asked of it."""
    with TemporaryDirectory() as directory:
        clock = WallClock(library, Path(directory, "clock"))
        command = [*clock.wrapper, sys.executable, "-S", "-E", "-c", _TRY, f"{directory}/clock"]
        with subprocess.Popen(  # noqa: S603 - our own words
            command,
            env=environment({}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                _, errors = process.communicate(timeout=_SOON)
            except subprocess.TimeoutExpired:
                process.kill()
                return f"nothing ends within {_SOON:g} s"
            finally:
                forget(process.pid)
    if "cannot be preloaded" in errors:
        return "it cannot be loaded"
    return "" if process.returncode == 0 else (errors.strip().splitlines() or ["?"])[-1]
