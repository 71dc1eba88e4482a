"""report.json, held against its published schema before it is written."""

import datetime as dt
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
from ..known_failures import KnownFailure, Seen
from ..printable import everywhere
from . import shard
from .result import Case, Result

SCHEMA = Path(__file__).with_name("schema.json")
"""The published schema."""

NUMBER = 1
"""Number of the schema; CONFORMANCE.md, "Reports", says what raises it."""

DISTRIBUTION = "blackhole-conformance"

UNKNOWN = "unknown"
"""What is said where there is no commit to be known."""

Report = dict[str, Any]
"""A report as its schema describes it."""


def document(result: Result) -> Report:
    """Return the report as plain data.

    Raises:
        jsonschema.ValidationError: it breaks the published schema.
    """
    told: Report = {
        "schema": NUMBER,
        "verdict": str(result.overall),
        "run": {
            "began": utc(result.began),
            "seconds": round(result.seconds, 3),
            "exit_status": int(result.exit_status),
            "meaning": result.exit_status.meaning,
        },
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
        "preflight": result.preflight,
        "environment": result.environment or environment(),
        "counts": {str(verdict): count for verdict, count in sorted(result.counts.items())},
        "requirements": {
            name: _requirement(result, name, seen) for name, seen in result.said.items()
        },
        "not_selected": result.not_selected,
        "narrowed": result.narrowed,
    }
    if result.shard is not None:
        told["shard"] = shard.document(result.shard, result.implementation, strict=result.strict)
    if result.merged:
        told["shards"] = result.merged
    report: Report = everywhere(told)
    jsonschema.validate(report, schema())
    return report


def _requirement(result: Result, name: str, seen: Seen) -> dict[str, Any]:
    requirement, judged = result.requirements[name], result.judged[name]
    excused = result.excused_by(name, seen)
    return {
        "title": requirement.title,
        "chapter": requirement.chapter,
        "level": str(requirement.level),
        "profiles": list(requirement.profiles),
        "verdict": str(seen.verdict),
        "scored": result.scored(name),
        "tests": len(judged.cases),
        "seconds": round(judged.seconds, 3),
        "reason": seen.reason,
        "fingerprints": judged.fingerprints,
        "known_failure": _entry(excused) if excused else None,
        "cases": [_case(case) for case in judged.cases],
    }


def _entry(failure: KnownFailure) -> dict[str, str]:
    return {
        "reason": failure.reason,
        "link": failure.link,
        "expires": failure.expires.isoformat(),
        "kind": failure.kind,
        "fingerprint": failure.fingerprint,
    }


def _case(case: Case) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": case.name,
        "verdict": str(case.verdict),
        "reason": case.reason,
        "seconds": round(case.seconds, 3),
    }
    if case.fingerprint:
        told["fingerprint"] = case.fingerprint
    if case.evidence:
        told["evidence"] = case.evidence
    if case.failure:
        told["failure"] = case.failure
    return told


def schema() -> dict[str, Any]:
    """Return the published schema."""
    found: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return found


def text(report: Report) -> str:
    """Return a report as it is written."""
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def utc(moment: dt.datetime) -> str:
    """Return a moment as reports have it."""
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


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
