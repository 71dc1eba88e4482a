"""Disks that are soon full, or read-only, whichever way this host has them; what is below one."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.harness import disk
from conformance.harness.disk import SmallDisk, read_only, small_disk
from conformance.harness.judging import NotRun
from conformance.harness.processes import Process
from conformance.harness.tree import files_below

MIB = 1 << 20

Make = Callable[[Path], SmallDisk]


@pytest.fixture(params=["as the host has it", "by a limit"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    if request.param == "by a limit":
        monkeypatch.setattr(disk, "works", lambda _: False)
    return small_disk


def _written(small: SmallDisk, size: int) -> bool:
    script = f"head -c {size} /dev/zero > '{small.directory}/file'"
    done = subprocess.run([*small.wrapper, "sh", "-c", script], capture_output=True, check=False)
    return done.returncode == 0


def test_little_fits_and_much_does_not(make: Make, tmp_path: Path) -> None:
    small = make(tmp_path / "data")

    assert _written(small, MIB)
    assert not _written(small, 16 * MIB)


def test_nothing_of_it_stays_mounted(make: Make, tmp_path: Path) -> None:
    small = make(tmp_path / "data")
    before = Path("/proc/self/mounts").read_text(encoding="utf-8")
    _written(small, MIB)

    assert Path("/proc/self/mounts").read_text(encoding="utf-8") == before
    assert str(small.directory) not in before


def test_it_is_seen_as_its_process_sees_it(make: Make, tmp_path: Path) -> None:
    small = make(tmp_path / "data")
    script = f"echo here > '{small.directory}/file'; echo ready; cat"
    with subprocess.Popen(
        [*small.wrapper, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as popen:
        assert popen.stdout is not None
        assert popen.stdout.readline() == b"ready\n"
        assert files_below(small.seen_by(Process(popen, "one", tmp_path))) == {"file": 5}
        assert popen.stdin is not None
        popen.stdin.close()


def test_nobody_writes_below_a_read_only_directory(stored: Path) -> None:
    with read_only(stored.parent) as wrapper:
        for word in ("echo more >> file", "touch another", "rm -f file"):
            script = f"cd '{stored.parent}' && {word}"
            done = subprocess.run([*wrapper, "sh", "-c", script], capture_output=True, check=False)
            assert done.returncode != 0, word

    assert files_below(stored.parent) == {"file": len(b"kept")}


def test_permissions_are_as_they_were_afterwards(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "works", lambda _: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with read_only(stored.parent):
        assert _modes(stored) == (0o500, 0o400)
    assert _modes(stored) == (0o750, 0o640)


def test_root_that_may_not_mount_is_stopped_by_nothing(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "works", lambda _: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    with pytest.raises(NotRun, match="permissions do not stop root"), read_only(stored.parent):
        pass
    assert _modes(stored) == (0o750, 0o640)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    file = tmp_path / "data" / "file"
    file.parent.mkdir()
    file.write_bytes(b"kept")
    file.parent.chmod(0o750)
    file.chmod(0o640)
    return file


def _modes(file: Path) -> tuple[int, int]:
    return file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777


def test_files_are_told_by_path_and_size(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    (tmp_path / "a" / "b" / "c").write_bytes(b"123")
    (tmp_path / "logs" / "d").touch()
    (tmp_path / "e").symlink_to("nowhere")

    assert files_below(tmp_path, but=("logs",)) == {"a/b/c": 3, "e": len("nowhere")}
    assert files_below(tmp_path / "none") == {}
