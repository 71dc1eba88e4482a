"""The log of a process, as its readers take it."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from conformance.harness import logs
from conformance.harness.judging import NonConformance


@dataclass
class _Process:
    """What was written to standard error so far."""

    stderr: str = ""

    def log(self, **record: Any) -> None:
        self.stderr += json.dumps(record) + "\n"


@pytest.fixture
def process() -> Any:
    """A process that has written nothing."""
    return _Process()


def test_only_whole_lines_that_are_objects_are_records(process: Any) -> None:
    process.stderr = '{"a": 1}\nTraceback\n[1]\n"text"\n\n{"b": 2}\n{"c": 3}'

    assert logs.records(process) == [{"a": 1}, {"b": 2}]


def test_a_call_is_found_by_its_id(process: Any) -> None:
    process.log(request_id="a", event="did_created")
    process.log(request_id="a", message="call")
    process.log(request_id="b", event="did_created")
    process.log(message="serving")

    assert logs.audited(process, "a") == [{"request_id": "a", "event": "did_created"}]
    assert logs.audited(process, "c") == []


async def test_records_are_waited_for(process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = logs.audited
    asked: list[str] = []

    def audited(given: Any, request_id: str) -> Any:
        asked.append(request_id)
        process.log(request_id="a", event=f"e{len(asked)}")
        return seen(given, request_id)

    monkeypatch.setattr(logs, "audited", audited)

    found = await logs.audit(process, "a", count=3)

    assert [record["event"] for record in found] == ["e1", "e2", "e3"]


async def test_records_that_do_not_come_are_a_finding(
    process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "PROMPT", 0.05)
    process.log(request_id="a", event="e")

    with pytest.raises(NonConformance, match=r"2 audit records of the call a.*'event': 'e'"):
        await logs.audit(process, "a", count=2)
