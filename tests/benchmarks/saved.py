"""Saved runs, made up: as `pytest benchmarks/ --benchmark-save` writes them."""

import json
from pathlib import Path
from typing import Any

from benchmarks.arms import SAYS, bases
from benchmarks.report.runs import Run, read

SURE = (1.0, 0.99, 1.01)
"""Of an arm against itself that can be trusted."""

TWICE = (2.0, 1.9, 2.1)


def measured(
    question: str,
    case: str,
    arm: str,
    ratios: dict[str, tuple[float, float, float]] | None = None,
    *,
    calls: int = 1,
) -> dict[str, Any]:
    median = 1e-3
    return {
        "extra_info": {
            "question": question,
            "case": case,
            "arm": arm,
            "unit": "calls",
            "per_second": calls / median,
            "mb_per_second": 0.064 / median,
            "client_cpu": median / 4,
            "quantiles": [median * (0.5 + part / 100) for part in range(101)],
            "ratios": {base: list(found) for base, found in (ratios or {}).items()},
        },
        "stats": {"median": median, "mean": median, "rounds": 20},
        "options": {"max_time": 1.0},
    }


def transports(
    question: str = "unary call",
    case: str = "64B",
    control: tuple[float, float, float] = SURE,
    tls: tuple[float, float, float] = TWICE,
    *,
    calls: int = 1,
) -> list[dict[str, Any]]:
    """Return every arm of a case."""
    return [
        measured(
            question,
            case,
            arm,
            {
                base: control if arm == "unix-again" else tls if arm == "tls" else TWICE
                for base in bases(arm)
                if base != arm
            },
            calls=calls,
        )
        for arm in SAYS
    ]


def whole() -> list[dict[str, Any]]:
    """Return what all pictures are drawn of."""
    loads = [
        one
        for question in ("calls at once", "native load")
        for callers in (1, 8, 64)
        for one in transports(question, f"{callers} callers", calls=192)
    ]
    streams = [one for size in ("64KiB", "1MiB") for one in transports("upload", size, calls=8)]
    unary = [one for size in ("64B", "1KiB", "64KiB") for one in transports(case=size)]
    return unary + loads + streams


def saved(*benchmarks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "datetime": "2026-01-02T03:04:05.678901+00:00",
        "implementation": {
            "name": "example",
            "version": "1.2.3",
            "language": "Python",
            "placement": "client on CPU 1, servers on CPU 0",
        },
        "machine_info": {
            "node": "here",
            "system": "Linux",
            "release": "6.1",
            "python_implementation": "CPython",
            "python_version": "3.12.1",
            "cpu": {"brand_raw": "A Processor", "count": 2},
        },
        "commit_info": {"id": "0123456789abcdef", "dirty": True},
        "client": {"grpcio": "1.2.3"},
        "not_run": [],
        "benchmarks": list(benchmarks),
    } | changes


def write(directory: Path, *benchmarks: dict[str, Any], name: str = "0001_a", **told: Any) -> Path:
    file = directory / f"{name}.json"
    file.write_text(json.dumps(saved(*benchmarks, **told)), encoding="utf-8")
    return file


def run(directory: Path, *benchmarks: dict[str, Any], **told: Any) -> Run:
    return read(write(directory, *benchmarks, **told))
