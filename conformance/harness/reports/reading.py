"""Reading report.json again, from this edition of the suite or from another one."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from ..printable import everywhere
from .report_json import NUMBER, Report, schema

__all__ = ["Report", "ReportError", "read"]


class ReportError(ValueError):
    """A report cannot be read; says which file, and what is wrong with it."""


def read(path: Path) -> Report:
    """Return the report in a file, or in a directory that a run wrote.

    Another edition may have written it: fields that this one does not know are skipped. Who else
    may have written it is not known either: its texts are made printable.

    Raises:
        ReportError: there is none, or it is not what the published schema describes.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(f"{file}: {error}") from error
    number = report.get("schema", NUMBER) if isinstance(report, dict) else NUMBER
    if number != NUMBER:
        raise ReportError(
            f"{file}: its schema is number {number}; this edition reads number {NUMBER}"
        )
    try:
        jsonschema.validate(report, _opened(schema()))
    except jsonschema.ValidationError as error:
        raise ReportError(f"{file}: {error.json_path}: {error.message}") from error
    return dict(everywhere(report))


def _opened(part: Any) -> Any:
    """Return a schema that allows fields which it does not know."""
    if isinstance(part, dict):
        return {
            name: _opened(value)
            for name, value in part.items()
            if not (name == "additionalProperties" and value is False)
        }
    return [_opened(value) for value in part] if isinstance(part, list) else part
