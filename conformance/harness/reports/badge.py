"""badge.json: the verdict as shields.io's endpoint takes it, for a README."""

from typing import Any

from .report_json import Report

_COLORS = {
    "conformant": "brightgreen",
    "partial": "yellowgreen",
    "non-conformant": "red",
    "unknown": "lightgrey",
}


def badge(report: Report) -> dict[str, Any]:
    """Return the badge: the verdict, and how many of all requirements were met."""
    judged = report["requirements"]
    every = len(judged) + len(report.get("not_selected", ()))
    passed = report["counts"].get("PASS", 0)
    return {
        "schemaVersion": 1,
        "label": "blackhole conformance",
        "message": f"{report['verdict']} ({passed}/{every})",
        "color": _COLORS[report["verdict"]],
    }
