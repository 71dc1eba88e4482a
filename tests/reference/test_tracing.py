"""Spans of calls: whose they continue, what is kept of them, and what goes along."""

import time
from typing import Any

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2

from reference.mesh.calls import Call, arrived, begin
from reference.mesh.hops import Hop, without_own
from reference.mesh.stages import Tracing
from reference.mesh.telemetry.otlp import add_to
from reference.mesh.telemetry.propagation import Parent, parent_of, traceparent
from reference.mesh.telemetry.tracing import Span, Tracer, current_trace, onward, use

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"
PARENT = (("traceparent", GOOD),)

JITTER = 1_000_000
"""Nanoseconds that two clocks, read one after the other, may be apart."""


def _parent(*values: str) -> Parent | None:
    return parent_of(tuple(("traceparent", value) for value in values))


@pytest.mark.parametrize("value", [GOOD, f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-09-more"])
def test_a_parent_is_read(value: str) -> None:
    assert _parent(value) == Parent(TRACE, SPAN)


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("",),
        (GOOD, GOOD),
        (GOOD.upper(),),
        (f"{GOOD}-more",),
        (f"{GOOD}more",),
        (f"ff-{TRACE}-{SPAN}-01",),
        (f"00-{'0' * 32}-{SPAN}-01",),
        (f"00-{TRACE}-{'0' * 16}-01",),
        (f"00-{TRACE}-{SPAN}-1",),
        (f"00-{TRACE}-{SPAN}",),
        (f"00-{TRACE[:-1]}²-{SPAN}-01",),
        (f"{GOOD}\n",),
    ],
)
def test_what_is_no_parent_is_none(values: tuple[str, ...]) -> None:
    assert _parent(*values) is None


def test_states_of_a_trace_are_one() -> None:
    parent = parent_of((*PARENT, ("tracestate", "a=1"), ("baggage", "x=y"), ("tracestate", "b=2")))

    assert parent == Parent(TRACE, SPAN, "a=1,b=2")


def test_what_is_told_is_read_again() -> None:
    assert traceparent(TRACE, SPAN, sampled=True) == GOOD
    assert _parent(traceparent(TRACE, SPAN, sampled=False)) == Parent(TRACE, SPAN)


def _tracer(ratio: float = 1.0) -> tuple[Tracer, list[Span]]:
    spans: list[Span] = []
    return Tracer(spans.extend, ratio), spans


def test_a_span_continues_its_parent_or_begins_a_trace() -> None:
    tracer, spans = _tracer()
    before = time.time_ns()

    clock = time.monotonic_ns()
    child, root = tracer.answers("/a.B/C", PARENT, clock), tracer.answers("/a.B/C", (), clock)
    child.end("OK", time.monotonic_ns())
    root.end("NOT_FOUND", time.monotonic_ns())
    tracer.export([child, root])

    assert spans == [child, root]
    assert (child.trace_id, child.parent_id) == (TRACE, SPAN)
    assert (root.parent_id, root.code) == ("", "NOT_FOUND")
    assert root.trace_id != TRACE
    assert len({SPAN, child.span_id, root.span_id}) == 3
    assert before - JITTER <= child.began <= child.ended <= time.time_ns() + JITTER


def test_a_call_within_a_span_is_its_child() -> None:
    tracer, _ = _tracer()
    outer = tracer.answers("/a.B/C", (*PARENT, ("tracestate", "a=1")), 0)

    inner, alone = tracer.calls("/d.E/F", outer), tracer.calls("/d.E/F", None)

    assert (inner.trace_id, inner.parent_id, inner.state) == (TRACE, outer.span_id, "a=1")
    assert (inner.server, alone.parent_id) == (False, "")


@pytest.mark.parametrize(
    ("ratio", "trace_id", "sampled"),
    [
        (1.0, f"{1:016x}{'f' * 16}", True),
        (0.0, f"{1:016x}{'0' * 16}", False),
        (0.5, f"{1:016x}7{'f' * 15}", True),
        (0.5, f"{1:016x}8{'0' * 15}", False),
    ],
)
def test_the_ratio_of_traces_is_chosen_by_their_ids(
    *, ratio: float, trace_id: str, sampled: bool
) -> None:
    tracer, spans = _tracer(ratio)

    span = tracer.answers("/a.B/C", (("traceparent", f"00-{trace_id}-{SPAN}-01"),), 0)
    tracer.export([span])

    assert (span.sampled, bool(spans)) == (sampled, sampled)
    assert onward((), span)[0][1].endswith(f"-0{sampled:d}")


def test_what_goes_along_is_the_span_the_state_and_the_rest() -> None:
    tracer, _ = _tracer()
    carried = (*PARENT, ("tracestate", "a=1"), ("baggage", "x=y"), ("baggage", "z"))
    span = tracer.answers("/a.B/C", carried, 0)

    assert onward(carried, span) == (
        ("traceparent", f"00-{TRACE}-{span.span_id}-01"),
        ("tracestate", "a=1"),
        ("baggage", "x=y"),
        ("baggage", "z"),
    )


def _serving(carried: Any = ()) -> Call:
    call = Call("/a.B/C", "id", carried=carried)
    begin(call)
    return call


def test_a_hop_without_a_tracer_carries_what_came() -> None:
    carried = (*PARENT, ("baggage", "x=y"))
    _serving(carried)

    hop = Hop("/d.E/F")
    hop.done("OK")

    assert hop.metadata == carried
    assert without_own((("Baggage", "own"),), hop) == PARENT
    _serving()
    assert without_own((), Hop("/d.E/F")) == ()


def test_a_hop_with_a_tracer_has_a_span() -> None:
    tracer, spans = _tracer()
    call = _serving((*PARENT, ("baggage", "x=y")))
    call.tracer = tracer
    use(tracer)
    try:
        hop = Hop("/d.E/F")
        hop.done("UNAVAILABLE")
        hop.done("OK")
    finally:
        use(None)

    (span,) = spans
    assert call.span is not None
    assert (span.parent_id, span.code, span.server) == (call.span.span_id, "UNAVAILABLE", False)
    assert hop.metadata == (
        ("traceparent", f"00-{TRACE}-{span.span_id}-01"),
        ("baggage", "x=y"),
    )


def test_the_stage_spans_a_call_and_its_log() -> None:
    tracer, spans = _tracer()
    stage = Tracing(tracer)
    call, _ = arrived("/a.B/C", [*PARENT, ("x", "y"), ("baggage", "k=v")])

    stage.admit(call, None)
    call.code, call.ended = "NOT_FOUND", call.started + 7
    stage.done([call, Call("/a.B/C", "not traced")])

    (span,) = spans
    assert call.span is span
    assert (span.code, span.ended - span.began) == ("NOT_FOUND", 7)
    assert call.carried == (*PARENT, ("baggage", "k=v"))


def test_a_span_is_made_when_it_is_asked_for_first() -> None:
    tracer, spans = _tracer()
    call = _serving(PARENT)
    assert (call.span, current_trace()) == (None, "")

    call.tracer = tracer

    assert current_trace() == TRACE
    assert call.span is call.span
    assert spans == []


@pytest.mark.parametrize("server", [True, False])
@pytest.mark.parametrize(("code", "number"), [("OK", 0), ("NOT_FOUND", 5)])
def test_a_span_becomes_a_message(*, server: bool, code: str, number: int) -> None:
    span = Span(
        method="/a.B/C", server=server, trace_id=TRACE, span_id=SPAN, parent_id="00f067aa0ba902b7",
        state="a=1", sampled=True, began=5, clock=1, ended=9, code=code,
    )  # fmt: skip
    scope = trace_pb2.ScopeSpans()

    add_to(scope.spans, span)

    (made,) = scope.spans
    assert (made.name, made.start_time_unix_nano, made.end_time_unix_nano) == ("a.B/C", 5, 9)
    assert made.kind == (2 if server else 3)
    assert (made.status.code, made.status.message) == ((0, "") if code == "OK" else (2, code))
    assert (made.trace_id.hex(), made.span_id.hex(), made.trace_state) == (TRACE, SPAN, "a=1")
    assert made.parent_span_id.hex() == "00f067aa0ba902b7"
    told = {one.key: one.value.string_value or one.value.int_value for one in made.attributes}
    assert told == {
        "rpc.system": "grpc",
        "rpc.service": "a.B",
        "rpc.method": "C",
        "rpc.grpc.status_code": number,
    }
