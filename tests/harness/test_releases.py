"""Releases: an implementation is held to the requirements of the one that its manifest names."""

from pathlib import Path

import pytest

from conformance.harness import releases

from .conftest import Judge, Judged

MUST = ("MUST", "service")
IDS = dict.fromkeys(("OLD-1", "NEW-1"), MUST)
FAILS = "expect(1, equals=2, what='its answer')"


def a_test(name: str, body: str = "pass") -> str:
    lower = name.lower().replace("-", "_")
    return f"def test_{lower}_case():\n    '''{name}: It holds.'''\n    {body}\n"


@pytest.fixture
def frozen(pytester: pytest.Pytester) -> Path:
    """Two releases of a made-up text, the second with a requirement more."""
    directory = Path(pytester.path, "frozen")
    directory.mkdir()
    (directory / "1.9.0.txt").write_text("OLD-1\n")
    (directory / "1.10.0.txt").write_text("OLD-1\nNEW-1\n")
    return directory


def judged_by(judge_suite: Judge, release: str, source: str, *options: str) -> Judged:
    line = f"release = '{release}'\n" if release else ""
    given = ("--no-preflight", "--releases=frozen", *options)
    return judge_suite(source, IDS, manifest=line, options=given)


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("body", [FAILS, "untestable('x')", "inconclusive('x')"])
def test_what_came_later_is_judged_and_not_scored(judge_suite: Judge, body: str) -> None:
    source = a_test("OLD-1") + a_test("NEW-1", body)

    held, free = (judged_by(judge_suite, one, source, "--maxfail=0") for one in ("1.9.0", ""))

    assert (held.status, held.report["verdict"], held.report["release"]) == (
        0,
        "conformant",
        "1.9.0",
    )
    assert held.verdicts == free.verdicts
    assert held.report["counts"] == {"PASS": 1}
    assert [one["scored"] for one in held.report["requirements"].values()] == [True, False]
    assert "1 requirements came after 1.9.0, and are not scored" in held.output
    assert "mine unknown: conformant by 1.9.0  (1 PASS)" in held.output
    assert free.status != 0
    assert free.report["release"] is None


@pytest.mark.usefixtures("frozen")
def test_what_is_of_the_release_is_scored(judge_suite: Judge) -> None:
    source = a_test("OLD-1", FAILS) + a_test("NEW-1")

    judged = judged_by(judge_suite, "1.9.0", source)
    newest = judged_by(judge_suite, "1.10.0", a_test("OLD-1") + a_test("NEW-1", FAILS))

    assert (judged.status, judged.report["counts"]) == (1, {"FAIL": 1})
    assert (newest.status, newest.report["counts"]) == (1, {"FAIL": 1, "PASS": 1})


@pytest.mark.usefixtures("frozen")
def test_an_unknown_release_is_wrong_use_that_names_those_there_are(judge_suite: Judge) -> None:
    judged = judged_by(judge_suite, "1.8.0", a_test("OLD-1"))

    assert judged.status == 4
    assert "release: there is no release '1.8.0'; there are: 1.9.0, 1.10.0" in judged.output


def test_the_suites_own_releases_are_there() -> None:
    assert releases.names()[0] == "0.1.0"
    assert "PROC-3" in releases.read("0.1.0")
