"""`blackhole-conformance new`: a beginning that works, and nothing overwritten."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conformance.commands import new
from conformance.commands.__main__ import main
from conformance.harness import requirements
from conformance.harness.implementation import ManifestError, load

from .beginning import begin

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("language", new.LANGUAGES)
def test_everything_is_written_and_filled_in(
    tmp_path: Path, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "mine"

    status = main(["new", str(directory), "--language", language])

    written = {str(file.relative_to(directory)) for file in directory.rglob("*")}
    assert status == 0
    assert f"cd {directory}\n" in capsys.readouterr().out
    assert {
        "README.md",
        "mine.toml",
        ".gitignore",
        ".github/workflows/conformance.yml",
        "protos/blackhole/config/v1/config.proto",
        "protos/third_party/google/api/http.proto",
    } <= written
    assert not [name for name in written if "language.toml" in name or "pycache" in name]
    for file in directory.rglob("*"):
        if file.is_file():
            assert "@NAME@" not in file.read_text(), file
            assert os.access(file, os.X_OK) == (file.suffix == ".sh"), file
    manifest = tomllib.loads((directory / "mine.toml").read_text())
    assert (manifest["name"], manifest["claims"]) == ("mine", ["service"])


def test_the_name_may_be_another(tmp_path: Path) -> None:
    assert main(["new", str(tmp_path / "mine"), "--name", "their-s"]) == 0

    assert load(tmp_path / "mine" / "their-s.toml", requirements.load()).name == "their-s"


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text("mine")

    status = main(["new", str(tmp_path)])

    assert status == 2
    assert capsys.readouterr().err == (
        f"blackhole-conformance: {tmp_path} is there, and not empty: nothing is overwritten\n"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["mine.toml"]


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is not made of letters"):
        new.write(tmp_path / "mine", "a/b", "other")

    assert not (tmp_path / "mine").exists()


def test_the_shell_stub_says_that_there_is_nothing(tmp_path: Path) -> None:
    new.write(tmp_path / "mine", "mine", "other")

    done = subprocess.run(
        ["./run.sh", "service", "identity"],
        cwd=tmp_path / "mine",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert '"message": "service identity: nothing is written yet"' in done.stderr


def test_a_beginning_in_python_has_its_first_green_requirements(tmp_path: Path) -> None:
    done = _judged(begin(tmp_path / "mine"))

    assert done.returncode == 0, done.stdout
    assert "mine unknown: partial  (3 PASS)" in done.stdout


@pytest.mark.skipif(shutil.which("go") is None, reason="no go on this machine")
def test_a_beginning_in_go_has_its_first_green_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "mine"
    new.write(directory, "mine", "go")
    monkeypatch.setenv("GOPROXY", "off")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    downloaded = subprocess.run(
        ["go", "mod", "download"],  # noqa: S607 - whichever there is
        cwd=directory, capture_output=True, check=False, text=True,
    )  # fmt: skip
    if downloaded.returncode:
        pytest.skip(f"Go's modules are not on this machine: {downloaded.stderr}")

    done = _judged(directory)

    assert done.returncode == 0, done.stdout
    assert "mine unknown: partial  (3 PASS)" in done.stdout


def _judged(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "conformance/", f"--impl={directory}/mine.toml",
         "-k", "PROC_5_ or PROC_4_ or PROC_10_", "-n", "0", "-q", f"--report={directory}/report",
         "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
