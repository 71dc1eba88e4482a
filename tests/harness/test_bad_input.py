"""Wrong use of the suite: one clear error, before any test, with exit status 4."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

GOOD = 'name = "x"\nlanguage = "x"\ncommand = ["{python}", "-c", "pass"]\nclaims = ["service"]\n'


def _suite(*options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "conformance/", "-p", "no:cacheprovider", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--impl=NAME|PATH says which implementation to judge"),
        (("--impl=nobody",), "unknown implementation 'nobody'; known: "),
        (("--impl=./nobody.toml",), "there is no file ./nobody.toml"),
        (("--impl=reference", "--workdir=/nowhere"), "there is no directory /nowhere"),
        (("--impl=reference", "--examples=-1"), "--examples: -1 is less than 50"),
        (("--impl=reference", "--start-timeout=nan"), "--start-timeout: nan is less than 0.1"),
        (("--attach=storage=unix:///x",), "is not identity=unix:///PATH"),
        (("--attach=identity=tcp://x:1",), "is not identity=unix:///PATH"),
        (("--attach=identity=unix:///no",), "there is no socket /no"),
    ],
)
def test_options_that_cannot_be_used(options: tuple[str, ...], told: str) -> None:
    status, output = _suite(*options)

    assert (status, told in output) == (4, True), output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ("name =", "Invalid value"),
        (GOOD.replace("service", "servce"), "there is no profile or requirement 'servce'"),
        (GOOD.replace("{python}", "/no/such"), "there is no file /no/such"),
        (GOOD.replace("{python}", "./m.toml"), "is not executable"),
        (GOOD.replace("{python}", "./foreign"), "./foreign: Exec format error"),
        (GOOD + 'build = ["{python}", "-c", "raise SystemExit(1)"]', "build: exit status 1"),
    ],
)
def test_manifests_that_cannot_be_used(tmp_path: Path, manifest: str, told: str) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"\x7fELF\x02\x01\x01" + b"\xff" * 100)
    foreign.chmod(0o755)
    (tmp_path / "m.toml").write_text(manifest)

    status, output = _suite(f"--impl={tmp_path}/m.toml", f"--report={tmp_path}/report")

    assert (status, told.replace("./", f"{tmp_path}/") in output) == (4, True), output
    assert "Traceback" not in output


def test_a_working_directory_that_is_too_long_for_sockets(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()

    status, output = _suite("--impl=reference", f"--workdir={long}")

    assert status == 4
    assert "give a shorter --workdir" in output


def test_smoke_tells_a_broken_adapter_from_a_working_one(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(GOOD)

    broken = _suite(f"--impl={tmp_path}/m.toml", "--smoke", f"--report={tmp_path}/r")
    working = _suite("--impl=reference", "--smoke", f"--report={tmp_path}/r")

    assert broken[0] == 8
    assert "the adapter is broken" in broken[1]
    assert working[0] == 0, working[1]
    assert "the adapter works" in working[1]
