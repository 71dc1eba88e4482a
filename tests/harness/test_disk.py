"""A disk that is soon full, whichever way this host has one; and what is below a directory."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.harness import disk
from conformance.harness.disk import SmallDisk, small_disk
from conformance.harness.processes import Process
from conformance.harness.tree import files_below

MIB = 1 << 20

Make = Callable[[Path], SmallDisk]


@pytest.fixture(params=["as the host has it", "by a limit"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    if request.param == "by a limit":
        monkeypatch.setattr(disk, "_works", lambda _: False)
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


def test_files_are_told_by_path_and_size(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    (tmp_path / "a" / "b" / "c").write_bytes(b"123")
    (tmp_path / "logs" / "d").touch()
    (tmp_path / "e").symlink_to("nowhere")

    assert files_below(tmp_path, but=("logs",)) == {"a/b/c": 3, "e": len("nowhere")}
    assert files_below(tmp_path / "none") == {}
