"""`blackhole-conformance matrix`: several reports on one page."""

import datetime as dt
import json
import re
from pathlib import Path

import pytest

from conformance.commands.__main__ import WRONG_USE, main
from conformance.harness import requirements
from conformance.harness.reports.matrix import Matrix, age, matrix
from tests.harness.reported import HOSTILE, Page

from .reports import report, write

NOW = dt.datetime(2026, 11, 26, 12, 0, tzinfo=dt.UTC)

RUN = {"began": "2026-11-24T11:00:00Z", "seconds": 1, "exit_status": 0, "meaning": "fine"}

FIRST = report({"SOCK-1": "PASS", "SOCK-2": "FAIL: lost it", "TLS-1": "PASS"}, run=RUN)

OLDER = report(
    {"SOCK-1": "NOT_CLAIMED: not claimed", "GONE-1": "PASS"},
    implementation={"name": "other", "version": "2|0"},
    suite={"version": "0.0.9", "commit": "fedcba"},
    not_selected=["TLS-1"],
)


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Reports of two editions of the suite; the first with a page of its own."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "report.html").touch()
    return [write(tmp_path / "a", FIRST).parent, write(tmp_path / "b", OLDER)]


def _matrix(two: list[Path], tmp_path: Path) -> Matrix:
    found = dict(zip(two, (FIRST, OLDER), strict=True))
    return matrix(found, requirements.load(), now=NOW, beside=tmp_path)


def test_every_requirement_of_any_report_has_a_row(two: list[Path], tmp_path: Path) -> None:
    made = _matrix(two, tmp_path)

    assert [
        (chapter.heading, [(row.id, [cell.verdict for cell in row.cells]) for row in chapter.rows])
        for chapter in made.chapters
    ] == [
        (
            "2 Local transport",
            [("SOCK-1", ["PASS", "NOT_CLAIMED"]), ("SOCK-2", ["FAIL", "NOT IN EDITION"])],
        ),
        ("3 Remote transport", [("TLS-1", ["PASS", "NOT_SELECTED"])]),
        ("Other editions", [("GONE-1", ["NOT IN EDITION", "PASS"])]),
    ]
    assert made.totals == ["2 of 3, 1 red", "1 of 3"]
    assert made.chapters[0].totals == ["1 of 2, 1 red", "0 of 1"]
    assert made.absent == {
        "0.1.0 at 0123456789ab": ["GONE-1"],
        "0.0.9 at fedcba": ["SOCK-2"],
    }


def test_a_cell_is_text_and_reached_by_keyboard(two: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "site" / "matrix.html"

    assert main(["matrix", *map(str, two), "--out", str(out)]) == 0

    seen = Page(out.read_text(encoding="utf-8"))
    cells = [(tag, one) for tag, one in seen.tags if one.get("class") == "cell"]
    assert len(cells) == 8
    assert all(tag in ("a", "summary") or one.get("tabindex") == "0" for tag, one in cells)
    assert {str(one["href"]) for tag, one in cells if tag == "a"} == {
        "../a/report.html#sock-1",
        "../a/report.html#tls-1",
    }
    for told in ("lost it", "NOT IN EDITION", "suite 0.0.9 at fedcba", "GONE-1", "1 of 2, 1 red"):
        assert told in seen.words
    assert all(one.get("scope") for one in seen.all("th"))


def test_markdown_is_printed(two: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", *map(str, two), "--format=md"]) == 0

    told = capsys.readouterr().out
    assert "| | `mine 1.0` | `other 2\\|0` |\n|---|---|---|\n" in told
    assert "| SOCK-2 | FAIL | NOT IN EDITION |" in told
    assert "Suite `0.0.9 at fedcba` did not have: SOCK-2." in told
    rows = [line for line in told.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}


def test_hostile_reports_are_only_shown(tmp_path: Path) -> None:
    hostile = report(
        {"SOCK-1": f"FAIL: {HOSTILE}", "ODD-1": "PASS"},
        implementation={"name": HOSTILE, "version": HOSTILE},
        suite={"version": HOSTILE, "commit": HOSTILE},
    )
    file = tmp_path / "report.json"
    file.write_text(json.dumps(hostile))
    out = tmp_path / "matrix.html"

    assert main(["matrix", str(file), "--out", str(out)]) == 0

    text = out.read_text(encoding="utf-8")
    assert len(Page(text).all("script")) == 1
    assert not Page(text).all("img")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


@pytest.mark.parametrize(
    ("began", "told"),
    [
        ("2026-11-26T11:30:00Z", "less than an hour ago"),
        ("2026-11-26T11:00:00Z", "1 hour ago"),
        ("2026-11-24T13:00:00Z", "47 hours ago"),
        ("2026-11-24T11:00:00Z", "2 days ago"),
        ("2026-11-27T11:00:00Z", "in the future, by this clock"),
    ],
)
def test_the_age_of_a_report_is_told(began: str, told: str) -> None:
    assert age({"run": {"began": began}}, NOW) == told
    assert age({}, NOW) == "unknown"


def test_what_cannot_be_written_is_wrong_use(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    status = main(["matrix", str(two[0]), "--out", str(tmp_path / "file" / "matrix.html")])

    assert status == WRONG_USE
    assert "cannot be written" in capsys.readouterr().err
