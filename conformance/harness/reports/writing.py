"""All reports of a run, written below one directory."""

import json
import os
from pathlib import Path

from . import badge, markdown, page, report_json
from .result import Result

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""Names the file that GitHub shows beside a step of a workflow."""


def write(result: Result, directory: Path) -> list[str]:
    """Write report.json, badge.json, summary.md and report.html; return what could not be written.

    report.json comes first: whatever happens to those that are made of it, it is there.
    """
    report = report_json.document(result)
    _put(directory / "report.json", report_json.text(report))
    _put(directory / "badge.json", json.dumps(badge.badge(report)) + "\n")
    told = markdown.Summary(report)
    _put(directory / "summary.md", told.text())
    _put(directory / "report.html", page.page(report, result.requirements, directory))
    if file := os.environ.get(STEP_SUMMARY):
        return _append(Path(file), told)
    return []


def _append(file: Path, told: markdown.Summary) -> list[str]:
    """Add a summary to a file that takes so much and no more."""
    try:
        taken = file.stat().st_size if file.exists() else 0
        with file.open("a", encoding="utf-8") as stream:
            stream.write(told.text(markdown.STEP_TAKES - taken))
    except OSError as error:
        return [f"{STEP_SUMMARY}: {file}: {error.strerror}"]
    return []


def _put(file: Path, text: str) -> None:
    """Write a file whole, or leave the old one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)
