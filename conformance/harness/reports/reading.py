"""Reading report.json again, from this edition of the suite."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from .report_json import SCHEMA

Report = dict[str, Any]
"""A report as its schema describes it."""


class ReportError(ValueError):
    """A report cannot be read; says which file, and what is wrong with it."""


def read(path: Path) -> Report:
    """Return the report in a file, or in a directory that a run wrote.

    Raises:
        ReportError: there is none, or it is not what the published schema describes.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        report: Report = json.loads(file.read_text(encoding="utf-8"))
        jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ReportError(f"{file}: {error}") from error
    except jsonschema.ValidationError as error:
        raise ReportError(f"{file}: {error.json_path}: {error.message}") from error
    return report
