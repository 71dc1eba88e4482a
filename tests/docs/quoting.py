"""What documentation quotes: the commands in it are run, and their output is compared.

A block of `console` holds commands after `$`, each with the lines of its output that matter. All
blocks of a page are run in their order, in one directory. Of a quoted line `…` stands for anything;
a line `…` alone for lines that are left out. A block of `python` whose first line is a comment with
the name of a file is written to that file.

`python -m tests.docs.quoting FILE` prints what each command of a page printed in full.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.commands.beginning import begin, provide

ROOT = Path(__file__).resolve().parents[2]

BOUND = 90.0
"""Seconds that a command may take; the slowest takes ten."""

_BLOCK = re.compile(r"^```(?P<kind>console|python)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (?P<name>[\w./-]+\.py)\n")
_VARYING = {
    r"\b\d+\.\d+ s\b": "0.00 s",
    r"\bin \d+\.\d+s\b": "in 0.00s",
    r"/tmp/bh\w{8}": "/tmp/bh",  # noqa: S108 - where nodes live, on the pages
    r"\bPID \d+": "PID 1",
    r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)": "2026-01-01T00:00:00Z",
}
"""What differs from run to run, and what stands for it."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a page, and what it is said to print."""

    line: str
    quoted: Sequence[str]


@dataclass(frozen=True, slots=True)
class Written:
    """A file that a page shows."""

    name: str
    text: str


CHAPTERS = ROOT / "docs" / "implementing"

LYING = f"""
name = "lying"
language = "Python"
command = [{sys.executable!r}, "-m", "fixtures.degenerate", "driver-that-lies"]
cwd = "{ROOT}"
claims = ["client"]
"""


def prepare(home: Path, page: str) -> Path:
    """Make the directory in which the commands of a page are run, and return it.

    It holds what the chapters before it have written: a beginning, and the service of the second.
    """
    if page.startswith("1-"):
        return home
    directory = begin(home / "mine")
    (directory / "lying.toml").write_text(LYING)
    for part in parts((CHAPTERS / "2-service.md").read_text(encoding="utf-8")):
        if isinstance(part, Written):
            (directory / part.name).write_text(part.text, encoding="utf-8")
    return directory


def parts(page: str) -> Iterator[Command | Written]:
    """Yield the files and commands of a page, in order."""
    for block in _BLOCK.finditer(page):
        if block["kind"] == "python":
            if named := _FILE.match(block["text"]):
                yield Written(named["name"], block["text"])
            continue
        for text in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
            line, _, quoted = text.partition("\n")
            yield Command(line, quoted.splitlines())


TRIES = 3
"""Times that a command is run at most."""

TOO_BUSY = "for a CPU: try again"
"""How the doctor ends where the host let the implementation wait."""


class Reader:
    """Somebody who does what a page says, beginning in a directory.

    Args:
        home: stands as `/home/me` on the page.
        directory: where the first command is run, below it.
    """

    def __init__(self, home: Path, directory: Path) -> None:
        """Nothing is done yet."""
        self._home = home
        self._directory = directory

    def write(self, file: Written) -> None:
        """Write a file that the page shows."""
        (self._directory / file.name).write_text(file.text, encoding="utf-8")

    def run(self, command: Command) -> list[str]:
        """Run a command; return the lines that it printed, as the page has them.

        Where it says that the host was too busy to tell, it is run again, as its reader would.
        """
        for _ in range(TRIES):
            seen = self._run(command)
            if not any(line.endswith(TOO_BUSY) for line in seen):
                break
        return seen

    def _run(self, command: Command) -> list[str]:
        if (target := command.line.removeprefix("cd ")) != command.line:
            self._directory /= target
            return []
        if (self._directory / "build.sh").exists():
            provide(self._directory)
        done = subprocess.run(
            ["/bin/bash", "-c", command.line],
            cwd=self._directory,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BOUND,
            check=False,
        )
        text = done.stdout.replace(str(self._home), "/home/me").replace(str(ROOT), "/home/me/suite")
        return [usual(line) for line in text.splitlines()]


def usual(line: str) -> str:
    """Return a line with what varies replaced."""
    for pattern, word in _VARYING.items():
        line = re.sub(pattern, word, line)
    return line.rstrip()


def missing(quoted: Sequence[str], seen: Sequence[str]) -> str:
    """Return the first quoted line that was not printed, in order; empty: all were."""
    rest = iter(seen)
    for line in quoted:
        if line.strip() in ("", "…"):
            continue
        pattern = re.escape(usual(line)).replace("…", ".*")
        if not any(re.fullmatch(pattern, one) for one in rest):
            return line
    return ""


def _environment() -> Mapping[str, str]:
    # As after `source .venv/bin/activate`, at a terminal of the usual width.
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": programs,
        "SUITE": str(ROOT),
        "COLUMNS": "100",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 - as the pages have it
    }


def main() -> None:
    """Print what the commands of a page print."""
    page = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as temporary:
        reader = Reader(Path(temporary), prepare(Path(temporary), page.name))
        for part in parts(page.read_text(encoding="utf-8")):
            if isinstance(part, Written):
                reader.write(part)
                continue
            seen = reader.run(part)
            print(f"$ {part.line}\n" + "\n".join(seen))  # noqa: T201 - what it is for
            if lost := missing(part.quoted, seen):
                print(f"### NOT PRINTED: {lost}")  # noqa: T201 - as above


if __name__ == "__main__":
    main()
