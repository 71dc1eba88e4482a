"""Audit records as the suite compares them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.harness import auditing

RECORD = {
    "time": "2026-01-31T12:00:00.123456789Z",
    "level": "warning",
    "message": "audit",
    "event": "permission_refused",
    "method": "/package.Service/Method",
    "peer": "ipv4:127.0.0.1:4242",
    "subject": "ada",
    "request_id": "one",
    "reason": "the role is not granted it",
}

RIGHT = auditing.refusal(
    "permission_refused",
    transport="tcp",
    method="/package.Service/Method",
    subject="ada",
    request_id="one",
)


def refusals(*lines: Any) -> list[dict[str, Any]]:
    process: Any = SimpleNamespace(stderr="".join(f"{json.dumps(line)}\n" for line in lines))
    return auditing.refusals(process)


def test_a_right_record_is_right_beside_other_lines() -> None:
    assert refusals({"message": "serving"}, RECORD, RECORD | {"event": "did_created"}) == [RIGHT]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message", "refused"),
        ("time", "2026-01-31 12:00:00"),
        ("time", "2026-01-31T12:00:00"),
        ("time", "2026-13-31T12:00:00Z"),
        ("time", 1_769_860_800),
        ("peer", "unix:"),
        ("peer", None),
        ("subject", ""),
        ("reason", " "),
        ("reason", None),
        ("request_id", "two"),
    ],
)
def test_a_wrong_field_is_seen(field: str, value: Any) -> None:
    assert refusals(RECORD | {field: value}) != [RIGHT]


@pytest.mark.parametrize("field", [name for name in RECORD if name not in ("level", "event")])
def test_a_missing_field_is_seen(field: str) -> None:
    assert refusals({name: value for name, value in RECORD.items() if name != field}) != [RIGHT]


@pytest.mark.parametrize("time", ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00.5+01:30"])
def test_all_ways_to_write_a_time_are_right(time: str) -> None:
    assert refusals(RECORD | {"time": time}) == [RIGHT]
