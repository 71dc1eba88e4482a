"""Chapter 24: traces of one service's calls (TRC-1, TRC-2, TRC-5 to TRC-9), and LOG-5."""

import asyncio
import time
from typing import Any

import pytest

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.bounds import PROMPT, until
from .harness.collector import EXPORTED, SERVER, Caller, Collector, Span
from .harness.events import Events
from .harness.history import expect_elapsed
from .harness.identity import SERVICE, Identity
from .harness.judging import expect
from .harness.ledger import Ledger
from .harness.logs import calls
from .harness.nodes import Node
from .harness.storage import Storage

STATE = "suite=1,other=x"
"""A `tracestate`."""

FLUSHED = 0.5
"""Seconds: `telemetry.flush_timeout`, as the suite configures it."""

TEN = 2.0
"""Seconds for ten calls at once whose spans nobody takes; seen: 0.02."""

MALFORMED = (
    "",
    "00",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
    "x" * 1000,
)
"""Values of `traceparent` that are none (W3C Trace Context, 3.2)."""

SOON = (
    "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "cc-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-01-what-comes-after",
)
"""Values of a version that is to come, which are read as far as they are known (3.2.4)."""

NOT_FOUND = (5, "NOT_FOUND")
"""The code as attributes have it: its number, or its name."""


def _begins(span: Span) -> bool:
    return span.parent_id == "" or set(span.parent_id) == {"0"}


async def test_trc_1_spans_arrive_at_the_collector(collector: Collector, node: Node) -> None:
    """TRC-1: Each call's span arrives by OTLP, with the service's name, method and times."""
    service = await node.start(collector.settings())
    callers = [Caller.new() for _ in range(5)]
    before = time.time()
    for caller in callers:
        await service.create(metadata=caller.metadata)
    after = time.time()

    for caller in callers:
        span = await collector.only(caller.trace_id)
        expect(
            (span.service, span.method, span.kind),
            equals=("identity", "CreateDID", SERVER),
            what="(service.name, last part of the name, kind) of the span of a call",
        )
        expect(span.name, matches=rf"/?{SERVICE}/CreateDID", what="its name")
        expect(span.began, at_least=before, what="its start")
        expect(span.ended, at_least=span.began, what="its end, after its start")
        expect(span.ended, at_most=after, what="its end")
    expect(
        len({span.span_id for span in collector.spans if span.method == "CreateDID"}),
        equals=len(callers),
        what="different span IDs",
    )


@pytest.mark.also_profile("platform")
async def test_trc_1_each_service_traces_its_calls(collector: Collector, node: Node) -> None:
    """TRC-1: Spans of every service of the platform arrive, each with the name of its own."""
    for kind in (Events, Identity, Ledger, Storage):
        count = len(collector.spans)
        service: Any = await node.serve(kind, collector.settings())
        await service.lives()
        await until(
            lambda count=count: len(collector.spans) > count,  # type: ignore[misc]
            bound=EXPORTED,
            what=f"a span of {kind.NAME} at the collector",
            every=0.02,
        )
        await service.stop()
        names = {span.service for span in collector.spans[count:]}
        expect(names, equals={kind.NAME}, what=f"service.name of the spans of {kind.NAME}")


async def test_trc_2_a_span_continues_its_callers_trace(collector: Collector, node: Node) -> None:
    """TRC-2: The span of a call is a child of the caller's, in its trace, with its state."""
    service = await node.start(collector.settings())
    caller, stream = Caller.new(), Caller.new()

    metadata = [*caller.metadata, ("tracestate", STATE)]
    await asyncio.gather(*(service.create(metadata=metadata) for _ in range(3)))
    (await service.events(metadata=stream.metadata)).cancel()

    spans = await collector.arrived(caller.trace_id, 3)
    expect(len(spans), equals=3, what="spans of three calls in the caller's trace")
    for span in spans:
        expect(span.parent_id, equals=caller.span_id, what="parent of a span")
        expect(span.state, equals=STATE, what="its trace state")
    expect(len({span.span_id for span in spans}), equals=3, what="different span IDs")
    span = await collector.only(stream.trace_id)
    expect(
        (span.parent_id, span.method),
        equals=(stream.span_id, "StreamDIDEvents"),
        what="(parent, method) of the span of a stream",
    )


async def test_trc_5_each_call_without_a_trace_begins_one(collector: Collector, node: Node) -> None:
    """TRC-5: A call without a trace begins one, and every call is sampled."""
    service = await node.start(collector.settings())
    await asyncio.gather(*(service.create() for _ in range(40)))

    def begun() -> list[Span]:
        return [span for span in collector.spans if span.method == "CreateDID"]

    await until(lambda: len(begun()) >= 40, bound=EXPORTED, what="40 spans", every=0.02)
    spans = begun()
    expect(len(spans), equals=40, what="spans of 40 calls")
    expect(len({span.trace_id for span in spans}), equals=40, what="different traces")
    expect([span for span in spans if not _begins(span)], equals=[], what="those with a parent")


async def test_trc_6_the_span_of_a_failed_call_is_an_error(
    collector: Collector, node: Node
) -> None:
    """TRC-6: The span of a call that failed has status ERROR and its code; others have not."""
    service = await node.start(collector.settings())
    failed, succeeded = Caller.new(), Caller.new()
    nobody = pb.ResolveDIDRequest(did="did:key:nobody")
    await service.call("ResolveDID", nobody, metadata=failed.metadata)
    await service.create(metadata=succeeded.metadata)

    span = await collector.only(failed.trace_id)
    expect(span.failed, equals=True, what="whether the status of a failed call is ERROR")
    codes = {value for name, value in span.attributes.items() if name.startswith("rpc.")}
    expect(
        [code for code in NOT_FOUND if code in codes] != [],
        equals=True,
        what=f"whether an attribute `rpc.…` is NOT_FOUND or 5: {dict(span.attributes)}",
    )
    span = await collector.only(succeeded.trace_id)
    expect(span.failed, equals=False, what="whether the status of a call that succeeded is")


async def test_trc_7_the_last_spans_are_flushed_at_sigterm(
    collector: Collector, node: Node
) -> None:
    """TRC-7: What was called just before SIGTERM is exported before the process ends."""
    service = await node.start(collector.settings())
    callers = [Caller.new() for _ in range(20)]
    await asyncio.gather(*(service.create(metadata=one.metadata) for one in callers))

    ended = await service.stop()

    expect(ended.status, equals=0, what="exit status")
    expect(
        [one.trace_id for one in callers if len(collector.of_trace(one.trace_id)) != 1],
        equals=[],
        what="traces of 20 calls whose one span had not arrived when the process had ended",
    )


@pytest.mark.parametrize("case", ["down", "hanging", "gone"])
async def test_trc_8_a_bad_collector_costs_no_call_anything(
    collector: Collector, node: Node, case: str
) -> None:
    """TRC-8: Without a collector that answers every call succeeds as soon, and the end comes."""
    if case == "down":
        await collector.leave()
    elif case == "hanging":
        collector.hang()
    service = await node.start(collector.settings(flush_timeout=f"{FLUSHED}s"))
    await _calls(service)
    if case == "gone":
        await collector.leave()
    elif case == "hanging":
        await until(lambda: collector.exports > 0, bound=EXPORTED, what="it exports")
    for _ in range(4):
        await _calls(service)

    begin = time.monotonic()
    ended = await service.stop()
    expect(ended.status, equals=0, what="exit status")
    expect_elapsed(
        time.monotonic() - begin,
        since=begin,
        at_most=FLUSHED + PROMPT,
        what="seconds from SIGTERM to the end of the process",
    )


async def _calls(service: Identity) -> None:
    """Make 50 calls, ten at once, each of which succeeds in time."""
    for _ in range(5):
        begin = time.monotonic()
        await asyncio.gather(*(service.create() for _ in range(10)))
        expect_elapsed(
            time.monotonic() - begin, since=begin, at_most=TEN, what="seconds of ten calls"
        )


async def test_trc_9_a_malformed_parent_begins_a_new_trace(
    collector: Collector, node: Node
) -> None:
    """TRC-9: A `traceparent` that is none is no error, and the call begins a trace."""
    service = await node.start(collector.settings())
    for value in MALFORMED:
        answer = await service.call(
            "CreateDID",
            pb.CreateDIDRequest(method="key"),
            metadata=[("traceparent", value)] if value else [("tracestate", STATE)],
        )
        expect(answer.code, equals="OK", what=f"code of a call with traceparent {value!r:.80}")
    later = [value.split("-")[1] for value in SOON]
    for value in SOON:
        await service.create(metadata=[("traceparent", value)])

    for trace_id in later:
        span = await collector.only(trace_id)
        expect(span.parent_id, equals="b7ad6b7169203331", what="parent, of a later version")

    def new() -> list[Span]:
        creates = [span for span in collector.spans if span.method == "CreateDID"]
        return [span for span in creates if span.trace_id not in later]

    wanted = len(MALFORMED)
    await until(lambda: len(new()) >= wanted, bound=EXPORTED, what=f"{wanted} spans")
    created = new()
    expect(len(created), equals=len(MALFORMED), what="spans of calls with a malformed parent")
    expect([one for one in created if not _begins(one)], equals=[], what="those with a parent")
    expect(
        len({span.trace_id for span in created}),
        equals=len(MALFORMED),
        what="different traces of theirs",
    )


async def test_log_5_lines_of_a_traced_call_bear_its_trace(
    collector: Collector, node: Node
) -> None:
    """LOG-5: The lines of a traced call hold its trace ID."""
    service = await node.start(collector.settings())
    callers = [Caller.new() for _ in range(3)]
    for number, caller in enumerate(callers):
        request_id = ("x-request-id", f"suite-log-5-{number}")
        await service.create(metadata=[*caller.metadata, request_id])

    def told() -> dict[str, Any]:
        return {line["request_id"]: line.get("trace_id") for line in calls(service.process)}

    wanted = {f"suite-log-5-{number}": one.trace_id for number, one in enumerate(callers)}
    await until(
        lambda: wanted.keys() <= told().keys(),
        bound=PROMPT,
        what="the lines of the calls are there",
        every=0.02,
    )
    seen = told()
    expect({one: seen[one] for one in wanted}, equals=wanted, what="`trace_id` of their lines")
