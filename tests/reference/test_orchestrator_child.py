"""Processes that are started, limited and ended; and the keeper, who ends what is left."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest

from reference.mesh import sockets
from reference.orchestrator import keeper, launcher
from reference.orchestrator.checks import Place
from reference.orchestrator.child import Child
from reference.orchestrator.keeping import Keeping
from reference.orchestrator.unit import remove_stale

from . import mesh_place

SOON = 10.0
"""Seconds for a process to do what it does in some milliseconds."""

SLEEP = (sys.executable, "-S", "-c", "import time; print('there', flush=True); time.sleep(60)")

NONE: dict[int, int] = {}

FORKS = """
import os, socket, time
one = socket.socket(socket.AF_UNIX)
one.bind({0!r})
one.listen()
if os.fork() == 0:
    time.sleep(60)
"""
"""Ends, and leaves its socket to a child."""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({0!r}, "w").close()
time.sleep(60)
"""


async def _until(fact: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not fact():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _deaf(file: Path) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", DEAF.format(str(file)))


async def _begun(command: Sequence[str], limits: Mapping[int, int] = NONE) -> Child:
    child = await Child.spawn(command, limits)
    child.begin()
    return child


async def test_limits_are_set_soft_and_hard() -> None:
    child = await _begun(SLEEP, {resource.RLIMIT_NOFILE: 99, resource.RLIMIT_CPU: 7})
    try:
        await _until(lambda: resource.prlimit(child.pid, resource.RLIMIT_CPU) == (7, 7))
        assert resource.prlimit(child.pid, resource.RLIMIT_NOFILE) == (99, 99)
        assert child.alive
        assert child.leads(child.pid)
        assert not child.leads(os.getpid())
        assert not child.leads(2**22 + 1)
    finally:
        await child.end(SOON)
    assert await child.ended() == "ended by SIGTERM"


async def test_who_is_deaf_is_killed(tmp_path: Path) -> None:
    child = await _begun(_deaf(tmp_path / "ready"))
    await _until((tmp_path / "ready").exists)

    await child.end(0.05)

    assert await child.ended() == "ended by SIGKILL"
    child.terminate()
    child.signal_group(signal.SIGKILL)


async def test_the_rest_of_the_group_ends_too(tmp_path: Path) -> None:
    file = tmp_path / "stray"
    script = f"sleep 60 & echo $! > {file}.part; mv {file}.part {file}; exit 3"
    child = await _begun(("sh", "-c", script))

    assert await child.ended() == "ended with status 3"
    stray = int(file.read_text())
    await _until(lambda: _gone(stray))


async def test_what_nobody_lets_begin_ends_when_the_orchestrator_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "ran"
    child = await Child.spawn(("touch", str(file)), {})
    assert child.alive

    # What the kernel does when a process is killed.
    child._process.stdin.close()  # type: ignore[union-attr]

    assert await child.ended() == "ended with status 1"
    assert not file.exists()


async def test_what_cannot_be_executed_is_not_started() -> None:
    with pytest.raises(FileNotFoundError, match="cannot be executed: '/no/such'"):
        await Child.spawn(("/no/such",), {})


async def test_a_socket_that_a_stray_still_holds_is_removed(place: mesh_place.Place) -> None:
    """And one that somebody else has is not."""
    path = place.directory / "a.sock"
    child = await _begun((sys.executable, "-S", "-c", FORKS.format(str(path))))
    await child._process.wait()
    assert sockets.is_live(path)
    place.listen("b.sock")

    for name in ("a.sock", "b.sock"):
        remove_stale(Place("a", "", path.with_name(name), ""), child)

    assert os.listdir(place.directory) == ["b.sock"]
    await child.ended()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The launcher's standard input, and what writes to it."""
    reads, writes = os.pipe()
    monkeypatch.setattr(launcher, "STDIN", reads)
    yield writes
    os.close(reads)


def test_the_launcher_becomes_the_command(monkeypatch: pytest.MonkeyPatch, told: int) -> None:
    os.write(told, b"1")
    os.close(told)
    done: list[object] = []
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: done.append(limit))
    monkeypatch.setattr(os, "execvp", lambda *command: done.append(command))
    monkeypatch.setattr(sys, "argv", ["launcher", "7=9,0=1", "program", "-x"])

    launcher.main()

    assert done == [(7, (9, 9)), (0, (1, 1)), ("program", ["program", "-x"])]


def test_the_launcher_ends_with_the_orchestrator(
    monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    os.close(told)
    monkeypatch.setattr(sys, "argv", ["launcher", "", "/no/such/program"])

    with pytest.raises(SystemExit, match="the orchestrator is gone"):
        launcher.main()


def test_the_launcher_says_what_cannot_be_executed(
    monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    os.write(told, b"1")
    os.close(told)
    monkeypatch.setattr(sys, "argv", ["launcher", "", "/no/such/program"])

    with pytest.raises(SystemExit, match="/no/such/program: No such file"):
        launcher.main()


def test_the_keeper_knows_who_is_left() -> None:
    assert keeper.follow(["+1\n", "+2\n", "-1\n", "+3\n", "-4\n"]) == {2, 3}


async def test_the_keeper_ends_what_is_left(tmp_path: Path) -> None:
    keeping = await Keeping.begin(orphan_timeout=0.2)
    usual, deaf, kept = [
        await _begun(command) for command in (SLEEP, _deaf(tmp_path / "ready"), SLEEP)
    ]
    await _until((tmp_path / "ready").exists)
    for child in (usual, deaf, kept):
        keeping.add(child.pid)
    keeping.discard(kept.pid)

    await keeping.end()

    assert await usual.ended() == "ended by SIGTERM"
    assert await deaf.ended() == "ended by SIGKILL"
    assert kept.alive
    await kept.end(SOON)
    keeping.add(kept.pid)


def test_the_keeper_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    ignored = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in ignored}
    with subprocess.Popen(SLEEP, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        monkeypatch.setattr(sys, "argv", ["keeper", "0.1"])
        monkeypatch.setattr(sys, "stdin", [f"+{process.pid}\n"])
        try:
            keeper.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        assert process.wait(SOON) == -signal.SIGTERM
    assert keeper.tell([process.pid], 0) == set()
