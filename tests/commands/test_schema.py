"""`blackhole-conformance schema`."""

import json

import pytest

from conformance.commands.__main__ import main
from conformance.harness.reports import report_json


def test_the_schema_is_printed_as_it_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0

    told = capsys.readouterr().out
    assert told == report_json.SCHEMA.read_text(encoding="utf-8")
    assert json.loads(told)["$id"] == "urn:blackhole-conformance:report:1"
