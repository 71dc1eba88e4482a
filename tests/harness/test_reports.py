"""report.json and its schema, the summary, the badge."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from conformance.harness.reports import markdown, report_json, writing
from conformance.harness.reports.badge import badge
from conformance.harness.reports.reading import ReportError, read
from conformance.harness.verdicts import Verdict

from .reported import FIRST, HOSTILE, result


def _parts(part: Any, where: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each schema within a schema, with its place."""
    if not isinstance(part, dict):
        return
    yield where, part
    for group in ("properties", "$defs"):
        for name, inner in part.get(group, {}).items():
            yield from _parts(inner, f"{where}.{name}")
    for name in ("items", "additionalProperties"):
        yield from _parts(part.get(name), f"{where}.{name}")


def test_the_schema_describes_every_field_and_allows_no_other() -> None:
    schema = report_json.schema()

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:blackhole-conformance:report:1"
    for where, part in _parts(schema):
        assert "$ref" in part or part.get("description"), where
        if part.get("type") == "object":
            assert "additionalProperties" in part, where


def test_a_report_says_everything() -> None:
    report = report_json.document(result())

    assert report["run"] == {
        "began": "2026-11-20T08:00:00Z",
        "seconds": 61.5,
        "exit_status": 6,
        "meaning": "the suite itself broke",
    }
    failed = report["requirements"][FIRST[8]]
    assert (failed["chapter"], failed["profiles"]) == ("1 Process model", ["service"])
    assert failed["cases"] == [
        {
            "name": f"test_x.py::test_{FIRST[8]}",
            "verdict": "FAIL",
            "reason": "a reason",
            "seconds": 1.5,
            "evidence": f"{FIRST[8]}/test_x",
            "failure": {
                "did": ["did a reason"],
                "looked_at": "looked at a reason",
                "expected": "expected a reason",
                "observed": "observed a reason",
                "again": f"pytest -k {FIRST[8]}",
            },
        }
    ]
    assert "evidence" not in report["requirements"][FIRST[0]]["cases"][0]


def test_a_report_is_read_again_and_another_editions_too(tmp_path: Path) -> None:
    report = report_json.document(result())
    other = report | {"later": {"than": "us"}}
    del other["run"]
    for name, one in (("own", report), ("other", other)):
        (tmp_path / f"{name}.json").write_text(report_json.text(one), encoding="utf-8")

    assert read(tmp_path / "own.json") == report
    assert read(tmp_path / "other.json") == other


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Expecting value"),
        ("[]", "is not of type 'object'"),
        ('{"schema": 2}', "its schema is number 2; this edition reads number 1"),
        ("[" * 100_000, "recursion"),
        ('"\ud800"', "decode"),
    ],
    ids=["empty", "list", "number", "deep", "bytes"],
)
def test_what_is_no_report_is_told(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")

    with pytest.raises(ReportError, match=f"(?s)^{re.escape(str(file))}: .*{told}"):
        read(tmp_path)


def test_hostile_text_can_be_written(tmp_path: Path) -> None:
    assert writing.write(result(hostile=True), tmp_path) == []

    for file in tmp_path.iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text), file
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("badge.json", "report.html", "report.json", "summary.md")
    ]


def test_the_badge_is_what_shields_io_takes() -> None:
    made = badge(report_json.document(result()))

    assert made == {
        "schemaVersion": 1,
        "label": "blackhole conformance",
        "message": "non-conformant (1/12)",
        "color": "red",
    }
    partial = badge(report_json.document(result(verdicts=[Verdict.PASS])))
    assert (partial["message"], partial["color"]) == ("partial (1/12)", "yellowgreen")


def test_the_summary_tells_the_verdict_first_then_what_is_red() -> None:
    text = markdown.Summary(report_json.document(result())).text()

    assert text.startswith("## `mine` `1.2 a reason`: non-conformant\n")
    places = [text.index(word) for word in ("| FAIL | 1 |", "### Red: 4", "Not run: 1")]
    assert places == sorted(places)
    assert f"- **FAIL** {FIRST[8]} SHOULD" in text
    assert f"  - again: `pytest -k {FIRST[8]}`" in text
    assert text.count("<details>") == text.count("</details>") == 5


def test_nothing_in_a_summary_is_markup() -> None:
    told = markdown.code(f"a\n{HOSTILE} @somebody #1")

    assert re.fullmatch(r"(`+) ?([^\n]*?) ?\1", told)
    assert markdown.code("``") == "``` `` ```"
    assert markdown.fenced("```\nx").startswith("````text\n")


def test_a_summary_that_is_too_long_says_what_it_leaves_out() -> None:
    summary = markdown.Summary(report_json.document(result()))
    whole = summary.text()

    short = summary.text(len(whole.encode()) * 3 // 4)

    assert len(short.encode()) <= len(whole.encode()) * 3 // 4
    (left_out,) = re.findall(r"\n(\d+) requirements are left out here", short)
    kept = re.findall(r"^- (?:\*\*\w+\*\* )?([A-Z]+-\d+)", short, re.MULTILINE)
    assert len(kept) + int(left_out) == 11
    assert short.count("<details>") == short.count("</details>")
    assert summary.text(10) == ""


def test_the_step_summary_takes_what_room_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "step.md"
    monkeypatch.setenv(writing.STEP_SUMMARY, str(file))
    file.write_text("of another step\n")

    assert writing.write(result(), tmp_path / "report") == []
    first = file.read_text()
    file.write_text("x" * (markdown.STEP_TAKES - 1500))
    assert writing.write(result(), tmp_path / "report") == []

    assert first == "of another step\n" + (tmp_path / "report" / "summary.md").read_text()
    assert file.stat().st_size <= markdown.STEP_TAKES
    assert "are left out here" in file.read_text()[-200:]
    monkeypatch.setenv(writing.STEP_SUMMARY, str(tmp_path / "none" / "step.md"))
    assert "No such file" in writing.write(result(), tmp_path / "report")[0]


def test_the_badge_file_is_json(tmp_path: Path) -> None:
    writing.write(result(), tmp_path)

    assert json.loads((tmp_path / "badge.json").read_text())["schemaVersion"] == 1
