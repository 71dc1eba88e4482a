"""Requests to make data durable: counted, let through, refused; and what asks for nothing."""

import asyncio
import mmap
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from conformance.harness import syncs
from conformance.harness.judging import NotRun
from conformance.harness.processes import Process
from conformance.harness.syncs import Syncs

ASKS = """
import errno, mmap, os, sys
directory, file = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[1] + "/f", os.O_RDWR)
mapped = mmap.mmap(file, 4096)
def told(ask):
    try:
        ask()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "OK"
for line in sys.stdin:
    asks = {
        "fsync": lambda: os.fsync(file),
        "fdatasync": lambda: os.fdatasync(file),
        "msync": mapped.flush,
        "directory": lambda: os.fsync(directory),
        "write": lambda: os.write(file, b"more"),
    }
    print(told(asks[line.strip()]), flush=True)
"""

FILE = ("fsync", "fdatasync", "msync")


@pytest.fixture
async def disk() -> AsyncIterator[Syncs]:
    try:
        async with syncs.syncs() as asked:
            yield asked
    except NotRun as forbidden:
        pytest.skip(str(forbidden))


class Asker:
    """A process that asks what it is told to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, what: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{what}\n".encode())
        return (await asyncio.wait_for(self._process.stdout.readline(), 10)).decode().strip()

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@pytest.fixture
async def asker(disk: Syncs, tmp_path: Path) -> AsyncIterator[Asker]:
    (tmp_path / "f").write_bytes(bytes(mmap.PAGESIZE))
    process = await asyncio.create_subprocess_exec(
        *(*disk.wrapper, sys.executable, "-S", "-c", ASKS, str(tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    asker = Asker(process)
    yield asker
    await asker.end()


async def test_each_request_is_counted_and_let_through(disk: Syncs, asker: Asker) -> None:
    assert [await asker.ask(what) for what in (*FILE, "directory")] == ["OK"] * 4
    assert disk.seen == {"file": 3, "directory": 1}


async def test_those_of_files_are_refused_and_nothing_else(disk: Syncs, asker: Asker) -> None:
    disk.refuse("file")
    assert [await asker.ask(what) for what in FILE] == ["EIO"] * 3
    assert [await asker.ask(what) for what in ("directory", "write")] == ["OK"] * 2


async def test_those_of_directories_are_refused_and_nothing_else(disk: Syncs, asker: Asker) -> None:
    disk.refuse("directory")
    assert [await asker.ask(what) for what in ("directory", *FILE)] == ["EIO", *["OK"] * 3]


async def test_a_disk_works_again(disk: Syncs, asker: Asker) -> None:
    disk.refuse("file")
    assert await asker.ask("fsync") == "EIO"
    disk.refuse()
    assert await asker.ask("fsync") == "OK"


async def test_who_ends_is_forgotten(disk: Syncs, asker: Asker) -> None:
    await asker.ask("fsync")
    await asker.end()

    async with asyncio.timeout(10):
        while disk._listeners:  # noqa: ASYNC110 - the kernel tells by the loop's own turn
            await asyncio.sleep(0.01)


async def test_a_host_that_lets_nobody_be_asked_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncs, "_known", None)
    monkeypatch.setattr(syncs, "_WRAPPER", (sys.executable, "-c", "raise SystemExit('forbidden')"))

    with pytest.raises(NotRun, match="forbidden"):
        async with syncs.syncs():
            pass


@pytest.mark.parametrize(("flags", "found"), [(os.O_DSYNC, 1), (os.O_SYNC, 1), (0, 0)])
def test_a_file_that_is_written_through_is_found(tmp_path: Path, flags: int, found: int) -> None:
    process = Mock(spec=Process, family=lambda: [psutil.Process()])
    file = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT | flags)
    try:
        assert syncs.writes_through(process) == str(tmp_path / "file") * found
    finally:
        os.close(file)
