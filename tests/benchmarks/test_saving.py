"""How a saved run is named, and what is said of tests that measured nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks.saving import UNNAMED, name_of

SAVE = "--benchmark-save"

TESTS = """
    import pytest

    def test_measured(): pass
    def test_skipped(): pytest.skip("NOT RUN: no h2load")
    def test_failed(): assert 1 == 2, "broken"

    @pytest.fixture
    def nothing(): raise RuntimeError("nothing starts")

    def test_not_begun(nothing): pass
"""

TELLING = """
    import json
    from benchmarks.saving import not_run

    def pytest_sessionfinish(session):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        open("told.json", "w").write(json.dumps(not_run(reporter)))
"""


def _name(pytester: pytest.Pytester, *words: str) -> object:
    return pytester.parseconfig("-p", "benchmarks.saving", *words).option.benchmark_save


def test_the_option_may_stand_alone(pytester: pytest.Pytester) -> None:
    assert _name(pytester, SAVE) == UNNAMED
    assert _name(pytester, SAVE, "--benchmark-disable") == UNNAMED


def test_a_name_is_taken(pytester: pytest.Pytester) -> None:
    assert _name(pytester, f"{SAVE}=mine") == "mine"
    assert _name(pytester, SAVE, "mine") == "mine"


def test_nothing_is_saved_unasked(pytester: pytest.Pytester) -> None:
    assert _name(pytester) is None


def test_a_path_after_the_option_is_no_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it="")

    with pytest.raises(pytest.UsageError) as refused:
        _name(pytester, SAVE, "test_it.py")

    assert (
        "'test_it.py' is a path, not a name: write --benchmark-save after the paths, "
        "or --benchmark-save=NAME" in str(refused.value)
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one file."""
    (tmp_path / "file").write_text("as it was")
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", "file")
    _commit(tmp_path)
    return tmp_path


def test_a_run_is_named_by_its_commit(repository: Path) -> None:
    commit = _git(repository, "rev-parse", "--short=10", "HEAD")

    assert name_of("mine", repository) == f"mine-{commit}"


def test_what_is_not_committed_is_told(repository: Path) -> None:
    commit = _git(repository, "rev-parse", "--short=10", "HEAD")
    (repository / "new").write_text("is no part of it")
    assert name_of("mine", repository) == f"mine-{commit}"

    (repository / "file").write_text("changed")

    assert name_of("mine", repository) == f"mine-{commit}+"


def test_outside_of_a_repository_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert name_of("mine", tmp_path) == "mine-no-commit"


def test_what_measured_nothing_is_told_with_its_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=TESTS)
    pytester.makeconftest(TELLING)

    pytester.runpytest_subprocess("-p", "no:xdist").assert_outcomes(
        passed=1, skipped=1, failed=1, errors=1
    )

    assert json.loads((pytester.path / "told.json").read_text()) == [
        {"test": "test_it.py::test_skipped", "reason": "NOT RUN: no h2load"},
        {"test": "test_it.py::test_failed", "reason": "FAILED: AssertionError: broken"},
        {"test": "test_it.py::test_not_begun", "reason": "FAILED: RuntimeError: nothing starts"},
    ]


def _git(directory: Path, *words: str) -> str:
    command = ("git", "-C", str(directory), "-c", "user.name=a", "-c", "user.email=a@b", *words)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _commit(directory: Path) -> None:
    _git(directory, "-c", "commit.gpgsign=false", "commit", "-q", "-m", "first")
