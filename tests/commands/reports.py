"""Reports for commands: as small as the schema lets them be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.harness.reports import report_json


def report(verdicts: Mapping[str, str], **other: Any) -> dict[str, Any]:
    """Return a report with verdicts by requirement, as `PASS` or `FAIL: reason`."""
    requirements = {}
    for name, told in verdicts.items():
        verdict, _, reason = told.partition(": ")
        requirements[name] = {
            "title": f"{name} holds",
            "level": "MUST",
            "verdict": verdict,
            "tests": 1,
            "seconds": 0.1,
            "reason": reason,
        }
    made: dict[str, Any] = {
        "schema": 1,
        "verdict": "partial",
        "implementation": {"name": "mine", "version": "1.0"},
        "suite": {"version": "0.1.0", "commit": "0123456789abcdef"},
        "claims": ["service"],
        "seed": 1,
        "counts": {},
        "requirements": requirements,
    }
    return made | other


def write(directory: Path, made: Mapping[str, Any]) -> Path:
    """Write a report; return its file."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "report.json"
    file.write_text(report_json.text(dict(made)), encoding="utf-8")
    return file
