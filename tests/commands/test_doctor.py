"""`blackhole-conformance doctor MANIFEST`, and the same as an option of pytest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.commands.__main__ import main

ROOT = Path(__file__).resolve().parents[2]

ENDS = """
name = "ends"
language = "Python"
command = ["{python}", "-c", "raise SystemExit('no disk')"]
claims = ["service"]
"""


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The manifest of a program that ends at once, in the current directory."""
    monkeypatch.chdir(tmp_path)
    Path("ends.toml").write_text(ENDS)
    return tmp_path / "ends.toml"


def test_what_broke_a_rule_is_told_and_its_configuration_kept(
    ends: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["doctor", str(ends)])

    told = capsys.readouterr().out
    kept = ends.parent / ".conformance" / "ends" / "doctor" / "config.json"
    assert status == 8
    assert "with exit status 1" in told
    assert "it printed     no disk\n" in told
    assert f"service identity --config {kept}\n" in told
    assert json.loads(kept.read_text())["services"] == {"identity": {}}


def test_the_option_of_pytest_is_the_same(ends: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(ROOT / "conformance"), f"--impl={ends}", "--doctor",
         "-p", "no:cacheprovider"],
        cwd=ends.parent, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 8, done.stdout
    assert "it printed     no disk\n" in done.stdout
    assert "the doctor judges nothing" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.toml"], "there is no file nowhere.toml"),
        (["reference", "--workdir=/nowhere"], "there is no directory /nowhere"),
    ],
)
def test_what_cannot_be_used_is_told(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *arguments]) == 2
    assert told in capsys.readouterr().err
