"""`blackhole-conformance diff`: what broke is told, and nothing else is called so."""

import itertools
import json
from pathlib import Path

import pytest

from conformance.commands.__main__ import WRONG_USE, main
from conformance.harness.reports.comparing import Kind, changes
from conformance.harness.verdicts import Verdict

from .reports import report, write

OLD = {
    "SOCK-1": "PASS",
    "SOCK-2": "FAIL: expected 2, observed 1",
    "SOCK-3": "NOT_RUN: no root",
    "SOCK-4": "FAIL: took 1.53 s on port 4711",
    "SOCK-5": "FAIL: it is red",
    "SOCK-6": "PASS",
}
NEW = {
    "SOCK-1": "FAIL: lost | it",
    "SOCK-2": "PASS",
    "SOCK-3": "PASS",
    "SOCK-4": "FAIL: took 2.71 s on port 1234",
    "SOCK-5": "FAIL: it is blue",
    "SOCK-7": "FAIL: never worked",
}
KINDS = {
    "SOCK-1": Kind.BROKEN,
    "SOCK-2": Kind.FIXED,
    "SOCK-5": Kind.CHANGED,
    "SOCK-7": Kind.NEW,
    "SOCK-6": Kind.GONE,
    "SOCK-3": Kind.NOT_COMPARABLE,
}


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """An old report and a new one."""
    return [str(write(tmp_path / name, report(made))) for name, made in (("o", OLD), ("n", NEW))]


def test_what_differs_is_told_by_kind(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *files]) == 1

    told = capsys.readouterr().out
    for line in (
        "broken (1): met before, and no longer",
        "  SOCK-1   PASS → FAIL  SOCK-1 holds",
        "           lost | it",
        "  SOCK-6   PASS → (none)  SOCK-6 holds",
        "1 broken, 1 fixed, 1 changed, 1 new, 1 gone, 1 not comparable",
    ):
        assert line in told.splitlines()
    assert "SOCK-4" not in told


def test_json_holds_every_kind(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *files, "--format=json"]) == 1

    told = json.loads(capsys.readouterr().out)
    assert {
        one["id"]: Kind(kind.replace("_", " "))
        for kind, some in told.items()
        if isinstance(some, list)
        for one in some
    } == KINDS
    assert told["broken"] == [
        {
            "id": "SOCK-1",
            "title": "SOCK-1 holds",
            "old": "PASS",
            "new": "FAIL",
            "reason": "lost | it",
        }
    ]


def test_markdown_shows_no_markup_of_others(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", *files, "--format=md"]) == 1

    told = capsys.readouterr().out
    assert told.startswith("## 1 broken, 1 fixed")
    assert "- SOCK-1 PASS → FAIL `SOCK-1 holds`\n  - `lost | it`\n" in told


def test_what_is_the_same_is_no_difference(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", files[0], files[0]]) == 0

    assert "nothing differs" in capsys.readouterr().out


def test_nothing_broken_is_0_whatever_else_differs(tmp_path: Path) -> None:
    kept = {name: told for name, told in NEW.items() if name != "SOCK-1"}
    files = [str(write(tmp_path / n, report(made))) for n, made in (("o", OLD), ("n", kept))]

    assert main(["diff", *files]) == 0


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Verdict, Verdict)))
def test_only_what_was_met_can_break(before: Verdict, after: Verdict) -> None:
    met = {Verdict.PASS, Verdict.STALE_KNOWN_FAILURE}
    silent = {*(Verdict.NOT_CLAIMED, Verdict.NOT_RUN, Verdict.INCONCLUSIVE, Verdict.HARNESS_ERROR)}
    old, new = (report({"SOCK-1": f"{verdict}: x"}) for verdict in (before, after))

    kinds = [change.kind for change in changes(old, new)]

    if before == after:
        assert kinds == []
    elif {before, after} & silent:
        assert kinds == [Kind.NOT_COMPARABLE]
    elif before in met and after not in met:
        assert kinds == [Kind.BROKEN]
    elif after in met and before not in met:
        assert kinds == [Kind.FIXED]
    else:
        assert kinds == [Kind.CHANGED]


def test_what_was_not_selected_is_not_comparable() -> None:
    whole, part = report({"SOCK-1": "PASS"}), report({}, not_selected=["SOCK-1"])

    (change,) = changes(whole, part)

    assert (change.kind, change.text) == (Kind.NOT_COMPARABLE, "PASS → NOT_SELECTED")
    assert changes(part, part) == []


def test_what_cannot_be_read_is_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", str(tmp_path), str(tmp_path)]) == WRONG_USE

    assert str(tmp_path / "report.json") in capsys.readouterr().err
