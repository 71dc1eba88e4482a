"""report.json, held against its published schema before it is written."""

import json
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema

from .. import places
from ..known_failures import KnownFailure
from . import shard
from .result import Result

SCHEMA = Path(__file__).with_name("schema.json")
"""The published schema."""

DISTRIBUTION = "blackhole-conformance"

UNKNOWN = "unknown"
"""What is said where there is no commit to be known."""


def document(result: Result) -> dict[str, Any]:
    """Return the report as plain data.

    Raises:
        jsonschema.ValidationError: it breaks the published schema.
    """
    report: dict[str, Any] = {
        "schema": 1,
        "verdict": str(result.overall),
        "implementation": {
            "name": result.implementation.name,
            "version": result.version,
            "language": result.implementation.language,
        },
        "suite": suite(),
        "claims": list(result.implementation.claims),
        "release": result.implementation.release or None,
        "seed": result.seed,
        "started": result.started,
        "environment": result.environment or environment(),
        "counts": {str(verdict): count for verdict, count in sorted(result.counts.items())},
        "requirements": {name: _requirement(result, name) for name in result.said},
        "not_selected": result.not_selected,
        "narrowed": result.narrowed,
    }
    if result.shard is not None:
        report["shard"] = shard.document(result.shard, result.implementation, strict=result.strict)
    if result.merged:
        report["shards"] = result.merged
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    return report


def _requirement(result: Result, name: str) -> dict[str, Any]:
    requirement, judged, seen = result.requirements[name], result.judged[name], result.said[name]
    excused = result.excused_by(name)
    return {
        "title": requirement.title,
        "level": str(requirement.level),
        "verdict": str(seen.verdict),
        "scored": result.scored(name),
        "tests": len(judged.tests),
        "seconds": round(judged.seconds, 3),
        "reason": seen.reason,
        "fingerprints": judged.fingerprints,
        "known_failure": _entry(excused) if excused else None,
    }


def _entry(failure: KnownFailure) -> dict[str, str]:
    return {
        "reason": failure.reason,
        "link": failure.link,
        "expires": failure.expires.isoformat(),
        "kind": failure.kind,
        "fingerprint": failure.fingerprint,
    }


def write(result: Result, directory: Path) -> Path:
    """Write report.json whole, or leave the old one."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document(result), indent=2, ensure_ascii=False) + "\n"
    draft = directory / f".report.{os.getpid()}"
    draft.write_text(text, encoding="utf-8")
    return draft.replace(directory / "report.json")


def suite() -> dict[str, str]:
    """Return what judges: the suite's version, and its commit."""
    return {"version": metadata.version(DISTRIBUTION), "commit": commit()}


def environment() -> dict[str, Any]:
    """Return what a reader must know of the host to weigh the report."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "grpcio": metadata.version("grpcio"),
        "root": os.geteuid() == 0,
    }


@cache
def commit() -> str:
    """Return the commit of the suite: of its checkout, or the one that its wheel was built from."""
    if places.CHECKOUT is None:
        return (
            places.COMMIT.read_text(encoding="ascii").strip() if places.COMMIT.exists() else UNKNOWN
        )
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],  # noqa: S607
            cwd=places.CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return done.stdout.strip()
