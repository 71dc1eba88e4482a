"""Chapters 24 and 11: traces and baggage from service to service (TRC-3, TRC-4, FLOW-3)."""

import asyncio
import re

from blackhole.conformance.v1 import driver_pb2
from blackhole.identity.v1 import identity_pb2

from .harness.collector import Caller, Collector, drawn, side
from .harness.company import Company
from .harness.driver import SERVICE as DRIVER
from .harness.identity import Identity
from .harness.judging import attach, expect
from .harness.ledger import Ledger
from .harness.nodes import Node
from .harness.outcomes import call_request
from .harness.raw import RawConnection
from .harness.replies import raw_message
from .harness.storage import Storage, Upload

BAGGAGE = "tenant=suite,who=ada%20l;internal=1"
"""Entries of baggage, with a property (W3C Baggage)."""

STATE = "suite=1"

DEADLINE = 4.0
"""Seconds that the outer call has (FLOW-3)."""

OWNER = "did:key:suite"

_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01")


async def test_trc_3_a_call_across_services_is_one_trace(collector: Collector, node: Node) -> None:
    """TRC-3: An upload is one trace: each hop a span of who calls, and of who answers below it."""
    company = Company(node, "identity", "ledger")
    names = ("identity", "ledger", "storage")
    settings = company.settings | collector.settings()
    identity, storage, _ = await asyncio.gather(
        node.serve(Identity, settings, beside=names),
        node.serve(Storage, settings, beside=names),
        node.serve(Ledger, settings, beside=names),
    )
    owner = (await identity.create()).did
    caller = Caller.new()
    async with RawConnection(storage.address) as raw:
        upload = await Upload.begin(raw, [*company.caller(owner), *caller.metadata])
        await upload.send(b"a file", "traced")
        answer = await upload.finish()
    expect(answer.code, equals="OK", what="code of the upload")

    spans = await collector.arrived(caller.trace_id, 5)
    attach("trace.txt", lambda: drawn(spans, caller.span_id))
    expect(
        sorted((span.service, span.method, side(span)) for span in spans),
        equals=[
            ("identity", "ResolveDID", "answers"),
            ("ledger", "Append", "answers"),
            ("storage", "Append", "calls"),
            ("storage", "ResolveDID", "calls"),
            ("storage", "UploadFile", "answers"),
        ],
        what="(service, method, side) of the spans of the trace",
    )
    by_place = {(span.service, span.method): span for span in spans}
    upload_span = by_place["storage", "UploadFile"]
    expect(upload_span.parent_id, equals=caller.span_id, what="parent of the upload")
    for service, method in (("identity", "ResolveDID"), ("ledger", "Append")):
        calls, answers = by_place["storage", method], by_place[service, method]
        expect(calls.parent_id, equals=upload_span.span_id, what=f"parent of the call of {method}")
        expect(answers.parent_id, equals=calls.span_id, what=f"parent of its answer by {service}")
        expect(calls.began <= answers.began, equals=True, what="whether the call began before")
        expect(answers.ended <= calls.ended, equals=True, what="whether the answer ended before")


async def test_trc_4_baggage_passes_on(collector: Collector, node: Node) -> None:
    """TRC-4: The baggage of a call is that of the calls it leads to, entry by entry."""
    peer = await node.peer("probed")
    driver = await node.drive(collector.settings())
    await driver.finds("probed")
    request = call_request("probed", b"x")
    for value in (BAGGAGE, ""):
        caller = Caller.new()
        carried = [*caller.metadata, *([("baggage", value)] if value else [])]
        answer = await driver.channel.unary(
            f"/{DRIVER}/Call", request, driver_pb2.CallResponse, metadata=carried
        )
        expect(answer.code, equals="OK", what="code of Driver.Call")
        expect(len(peer.arrivals), at_least=1, what="calls of Probe that arrived at the peer")
        arrival = peer.arrivals[-1]
        told = [found for name, found in arrival.headers if name == "baggage"]
        expect(_entries(told), equals=_entries([value]), what="baggage of the call of Probe")
        parent = _PARENT.fullmatch(arrival.header("traceparent") or "")
        expect(parent and parent[1], equals=caller.trace_id, what="trace of the call of Probe")


async def test_flow_3_what_a_caller_gives_goes_along(collector: Collector, node: Node) -> None:
    """FLOW-3: Deadline, request ID, trace and baggage of an upload go along to identity."""
    company = Company(node, "identity")
    peer = await node.peer("identity")
    document = identity_pb2.DIDDocument(did=OWNER)
    known = identity_pb2.ResolveDIDResponse(document=document)
    peer.otherwise = raw_message(known.SerializeToString())
    storage = await node.serve(Storage, company.settings | collector.settings())
    caller = Caller.new()
    async with RawConnection(storage.address) as raw:
        upload = await Upload.begin(
            raw,
            [
                ("grpc-timeout", f"{DEADLINE * 1000:.0f}m"),
                *company.caller(OWNER),
                *caller.metadata,
                ("tracestate", STATE),
                ("baggage", BAGGAGE),
                ("x-request-id", "suite-flow-3"),
            ],
        )
        await upload.send(b"a file", "along")
        answer = await upload.finish()
    expect(answer.code, equals="OK", what="code of the upload")

    resolved = [one for one in peer.arrivals if one.method == "ResolveDID"]
    expect(len(resolved), equals=1, what="calls of ResolveDID that arrived at the peer")
    arrival = resolved[0]
    expect(arrival.header("x-request-id"), equals="suite-flow-3", what="request ID")
    parent = _PARENT.fullmatch(arrival.header("traceparent") or "")
    expect(parent and parent[1], equals=caller.trace_id, what="trace ID of `traceparent`")
    expect(parent and parent[2] != caller.span_id, equals=True, what="whether its span is new")
    expect(arrival.header("tracestate"), equals=STATE, what="`tracestate`")
    told = [found for name, found in arrival.headers if name == "baggage"]
    expect(_entries(told), equals=_entries([BAGGAGE]), what="baggage")
    expect(arrival.timeout is not None, equals=True, what="whether it has a deadline")
    expect(arrival.timeout, at_most=DEADLINE, what="seconds that it has, of those of the upload")


def _entries(values: list[str]) -> list[str]:
    """Return the entries of baggage: neither their order nor how headers share them matters."""
    return sorted(entry.strip() for value in values for entry in value.split(",") if entry.strip())
