"""A wall clock that is stepped: what libraries do it, and what a process sees of it."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.harness import clock
from conformance.harness.clock import HOUR, candidates, trouble_with, wall_clock
from conformance.harness.judging import NotRun

SEES = """
import time
first = time.time(), time.monotonic()
print("ready", flush=True)
input()
print(time.time() - first[0], time.monotonic() - first[1])
"""


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_a_running_process_sees_the_step_and_a_steady_monotonic_clock(
    tmp_path: Path, off: float
) -> None:
    with wall_clock(tmp_path) as stepped:
        command = [*stepped.wrapper, sys.executable, "-S", "-c", SEES]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            stepped.step(off)
            told, _ = process.communicate("\n", timeout=10)
    wall, steady = map(float, told.split())
    assert wall == pytest.approx(off, abs=30)
    assert 0 <= steady < 30


def test_a_library_that_is_none_is_not_believed(tmp_path: Path) -> None:
    wrong = tmp_path / "libfaketime.so.1"
    wrong.write_bytes(b"no library")

    assert trouble_with(wrong)


def test_a_host_without_the_library_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "candidates", list)
    clock._found.cache_clear()

    with pytest.raises(NotRun, match="there is no libfaketime"), wall_clock(tmp_path):
        pass
    clock._found.cache_clear()


def test_the_package_of_the_suite_is_asked_first() -> None:
    assert "site-packages/libfaketime" in str(candidates()[0])


def test_what_a_killed_process_leaves_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_SHARED", tmp_path)
    for name in ("faketime_shm_7", "sem.faketime_sem_7", "faketime_shm_8"):
        (tmp_path / name).touch()

    killed: Any = SimpleNamespace(pid=7, family=list)
    with wall_clock(tmp_path) as stepped:
        stepped.worn_by(killed)

    assert sorted(path.name for path in tmp_path.glob("*faketime*")) == ["faketime_shm_8"]
