"""A suite that is ended by SIGTERM: it clears up, as by Ctrl-C."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from .conftest import CONFTEST, INI, RECORD

SOON = 20.0
"""Seconds for a small suite to begin, and to end: each takes one on an idle host."""

SOURCE = """
import asyncio, signal, subprocess, sys, time
from pathlib import Path
import pytest

@pytest.fixture(scope="session")
def shared():
    yield
    with open("cleared", "a") as file:
        file.write("shared ")

@pytest.fixture
async def child(shared):
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield started
    Path("clearing").touch()
    await asyncio.sleep(0.01)
    started.kill()
    started.wait()
    with open("cleared", "a") as file:
        file.write("own ")

async def test_one_1_waits(child):
    '''ONE-1: It holds.'''
    try:
        Path(f"begun.{child.pid}").touch()
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0.01)
        with open("cleared", "a") as file:
            file.write("test ")

def test_two_1_blocks(child):
    '''TWO-1: It holds.'''
    Path(f"begun.{child.pid}").touch()
    time.sleep(600)

def test_three_1_is_never_run():
    '''THREE-1: It holds.'''
    with open("cleared", "a") as file:
        file.write("never ")
"""

IDS = ("ONE-1", "TWO-1", "THREE-1")


def _until(fact: str, directory: Path) -> list[Path]:
    end = time.monotonic() + SOON
    while not (found := list(directory.glob(fact))):
        assert time.monotonic() < end, f"no {fact}"
        time.sleep(0.01)
    return found


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("processes", ["0", "1"])
@pytest.mark.parametrize(("test", "cleared"), [("ONE_1", "test own "), ("TWO_1", "own ")])
def test_sigterm_ends_it_as_ctrl_c_does(
    tmp_path: Path, test: str, cleared: str, processes: str, *, background: bool
) -> None:
    (tmp_path / "SPEC.md").write_text(
        "".join(RECORD.format(id=name, level="MUST", profile="service") for name in IDS)
    )
    (tmp_path / "mine.toml").write_text(
        "name = 'mine'\nlanguage = 'None'\nclaims = ['service']\ncommand = ['true']\n"
    )
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_small.py").write_text(SOURCE)
    command = [sys.executable, "-m", "pytest", "--impl=./mine.toml", "--specification=SPEC.md"]
    command += ["--no-preflight", "-p", "no:cacheprovider", "-n", processes]
    command += ["-k", f"{test} or THREE"]

    if background:
        # As a shell starts what it does not wait for: deaf to SIGINT.
        command = ["sh", "-c", f"trap '' INT; exec {shlex.join(command)}"]

    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        (begun,) = _until("begun.*", tmp_path)
        family = [one.pid for one in psutil.Process(run.pid).children(recursive=True)]
        os.kill(run.pid, signal.SIGTERM)
        sent = time.time()
        output, _ = run.communicate(timeout=SOON)

    assert run.returncode == 2, output
    # execnet by itself leaves a worker alone for 5 s.
    assert (tmp_path / "clearing").stat().st_mtime - sent < 4.5
    assert (tmp_path / "cleared").read_text() == f"{cleared}shared "
    assert int(begun.suffix[1:]) in family
    assert [pid for pid in family if _alive(pid)] == []
    assert "the run did not come to its end" in output
