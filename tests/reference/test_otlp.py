"""Spans on their way: they leave, they are dropped where there is no room, and they hold nobody."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from reference.config.telemetry import Traces
from reference.mesh.telemetry import otlp
from reference.mesh.telemetry.otlp import Export, exporting
from reference.mesh.telemetry.tracing import Tracer

from .serving import SOON


class Keeper(SpanExporter):
    """Keeps what is exported; while it is told to, it takes its time."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.entered = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        self.entered.set()
        self.free.wait(SOON)
        self.methods += [span.method for group in spans for span in group.spans]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.free.set()


def _spans(export: Export, *methods: str) -> None:
    tracer = Tracer(export)
    for method in methods:
        tracer.export([tracer.answers(method, (), 0)])


async def test_spans_leave_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "DELAY", 1)
    keeper = Keeper()
    export = Export(keeper)
    _spans(export, "/a.B/C")
    assert await asyncio.to_thread(keeper.entered.wait, SOON)
    await export.close(SOON)

    assert keeper.methods == ["/a.B/C"]


async def test_the_last_leave_at_the_end() -> None:
    keeper = Keeper()
    export = Export(keeper)
    _spans(export, *(f"/a.B/{number}" for number in range(1000)))
    await export.close(SOON)

    assert keeper.methods == [f"/a.B/{number}" for number in range(1000)]


async def test_what_finds_no_room_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "WAITING", 3)
    monkeypatch.setattr(otlp, "BATCH", 2)
    keeper = Keeper()
    keeper.free.clear()
    with capture_logs() as lines:
        export = Export(keeper)
        _spans(export, *(f"/a.B/{number}" for number in range(9)))
        keeper.free.set()
        await export.close(SOON)

    assert len(keeper.methods) == 3
    assert sum(line["dropped"] for line in lines) == 6


async def test_of_many_at_once_those_leave_that_find_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "WAITING", 3)
    monkeypatch.setattr(otlp, "BATCH", 2)
    keeper = Keeper()
    with capture_logs() as lines:
        export = Export(keeper)
        tracer = Tracer(export)
        tracer.export([tracer.answers(f"/a.B/{number}", (), 0) for number in range(9)])
        await export.close(SOON)

    assert keeper.methods == ["/a.B/0", "/a.B/1", "/a.B/2"]
    assert sum(line["dropped"] for line in lines) == 6


async def test_the_end_waits_no_longer_than_it_may() -> None:
    keeper = Keeper()
    keeper.free.clear()
    export = Export(keeper)
    _spans(export, "/a.B/C")
    begin = time.monotonic()
    await export.close(0.05)

    assert 0.05 <= time.monotonic() - begin < SOON


async def test_a_collector_that_is_not_there_holds_nobody(unused_tcp_port: int) -> None:
    begin = time.monotonic()
    traces = Traces(f"127.0.0.1:{unused_tcp_port}", 1.0, 0.1)
    async with exporting("s", traces) as tracer:
        tracer.export([tracer.answers("/a.B/C", (), 0)])

    assert time.monotonic() - begin < SOON
