"""Chapter 20: errors and input (ERR-1 to ERR-3, ERR-5 to ERR-7)."""

import re
import signal
import time
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import given
from hypothesis import strategies as st

from blackhole.identity.v1 import identity_pb2 as pb

from .harness import reflection
from .harness.bounds import PROMPT, until
from .harness.calls import Answer, Stream
from .harness.identity import HEALTH, SERVICE, Identity
from .harness.judging import did, expect
from .harness.nodes import Node
from .harness.raw import RawConnection, framed
from .harness.strategies import BODIES_A_ROUND, bodies

LEAKS = re.compile(
    r"/(home|root|tmp|usr|var|data|src)/|\.(py|go|rs|js|ts|java)\b|Traceback|goroutine|panic"
    r"|\bat [\w.$]+\(|SELECT|INSERT|UPDATE |sqlite|Exception|Error:|errno",
    re.IGNORECASE,
)
"""What the inside of a service looks like from the outside: paths, stacks, SQL, type names."""

BLAMED = frozenset({"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"})
"""Codes that blame the service, where only the request was wrong."""

ONE_SUBSCRIBER = {"identity": {"max_subscribers": 1}}

SUBSCRIBE = f"/{SERVICE}/StreamDIDEvents"

DEADLINE_GIVEN = 0.3
"""Seconds of the deadline in ERR-6: long enough to see the place taken, short to wait for."""

METADATA_LIMIT = 8192
"""Bytes of custom metadata that must pass, by default (CONFORMANCE.md, ERR-5)."""

ENTRY = 32
"""Bytes that an entry counts besides its name and value."""

CANCEL = 8
"""RST_STREAM error code (RFC 9113, 7)."""

REFLECTION = "grpc.reflection.v1alpha.ServerReflection"

METHODS: dict[str, Any] = {
    f"{SERVICE}/{method.name}": method.input_type
    for method in pb.DESCRIPTOR.services_by_name["IdentityService"].methods
} | {
    f"{HEALTH}/Check": health_pb2.HealthCheckRequest.DESCRIPTOR,
    f"{HEALTH}/Watch": health_pb2.HealthCheckRequest.DESCRIPTOR,
    f"{REFLECTION}/ServerReflectionInfo": reflection_pb2.ServerReflectionRequest.DESCRIPTOR,
}
"""Every method of the schema, and of the standard services, with the type of its request."""


async def test_err_1_domain_errors_have_their_codes(node: Node) -> None:
    """ERR-1: Domain errors have the document's status codes, one case a row."""
    service = await node.start(ONE_SUBSCRIBER)
    unknown = pb.ResolveDIDRequest(did="did:key:00000000000000000000000000000000")
    subscriber = await service.events()

    answers = {
        "ErrNotFound": await service.call("ResolveDID", unknown),
        "ErrInvalidArgument": await service.call("CreateDID", pb.CreateDIDRequest()),
        "ErrResourceExhausted": await (await service.events()).ended(),
        "ErrUnavailable": await _while_draining(service),
    }
    subscriber.cancel()

    expect(
        {row: answer.code for row, answer in answers.items()},
        equals={
            "ErrNotFound": "NOT_FOUND",
            "ErrInvalidArgument": "INVALID_ARGUMENT",
            "ErrResourceExhausted": "RESOURCE_EXHAUSTED",
            "ErrUnavailable": "UNAVAILABLE",
        },
        what="code of each row",
    )
    expect(
        [row for row, answer in answers.items() if not answer.message],
        equals=[],
        what="rows with an empty message",
    )


async def test_err_2_an_internal_error_leaks_nothing(node: Node) -> None:
    """ERR-2: Every other error is INTERNAL "internal error", and leaks nothing."""
    service = await node.start()
    kept, other = await service.create(properties={"n": "1"}), await service.create()

    node.gone()
    updated = await service.call("UpdateDID", pb.UpdateDIDRequest(did=kept.did))
    deleted = await service.call("DeleteDID", pb.DeleteDIDRequest(did=other.did))
    node.back()

    for what, answer in (("UpdateDID", updated), ("DeleteDID", deleted)):
        expect(
            (answer.code, answer.message),
            equals=("INTERNAL", "internal error"),
            what=f"{what} while the store is gone",
        )
        expect(_leaks(answer), equals=[], what=f"what leaks from {what}")
    await until(lambda: _resolves(service, other.did), bound=0.4, what="the store is back")
    expect(
        dict((await service.resolve(kept.did)).properties),
        equals={"n": "1"},
        what="the DID whose update failed",
    )


@pytest.mark.parametrize("path", METHODS)
@given(data=st.data())
async def test_err_3_no_input_is_internal_unknown_or_fatal(
    identity: Identity, path: str, data: st.DataObject
) -> None:
    """ERR-3: No request body makes a service answer INTERNAL or UNKNOWN, or die."""
    round_ = data.draw(bodies(METHODS[path], BODIES_A_ROUND))

    answers = await identity.channel.judged(f"/{path}", round_, identity.check)

    blamed = [
        (body.hex(), answer.code, answer.message)
        for body, answer in zip(round_, answers, strict=True)
        if answer.code in BLAMED
    ]
    expect(blamed, equals=[], what=f"bodies (hex) that {path} did not take as the caller's fault")


async def test_err_3_methods_beyond_the_schema_are_held_to_it_too(identity: Identity) -> None:
    """ERR-3: Methods that reflection lists beyond the schema get no other treatment."""
    schema = await reflection.read(identity.channel)
    additional = [
        f"{file.package}.{service.name}/{method.name}"
        for file in schema.files.values()
        for service in file.service
        if f"{file.package}.{service.name}" in schema.services
        for method in service.method
        if f"{file.package}.{service.name}/{method.name}" not in METHODS
    ]
    damaged = (
        b"",
        b"\xff",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x80" * 11,
        b"\x0b",
        b"\x0a\x02\xc3\x28",
    )

    (control,) = await identity.channel.judged(f"/{HEALTH}/Check", [b""], identity.check)
    answers = {
        path: await identity.channel.judged(f"/{path}", damaged, identity.check)
        for path in additional
    }

    expect(control.code, equals="OK", what="Check with an empty request")
    expect(
        [
            (path, body.hex(), answer.code)
            for path, answered in answers.items()
            for body, answer in zip(damaged, answered, strict=True)
            if answer.code in BLAMED
        ],
        equals=[],
        what="additional methods, with bodies that they answer INTERNAL or UNKNOWN",
    )


@pytest.mark.parametrize("entries", [1, 16])
async def test_err_5_metadata_passes_up_to_the_limit(identity: Identity, entries: int) -> None:
    """ERR-5: Custom metadata of exactly the limit passes, in one entry and in many."""
    async with RawConnection(identity.address) as raw:
        status = await _check_with(raw, _metadata(METADATA_LIMIT, entries))

    expect(status, equals="grpc-status 0", what=f"Check with 8192 bytes in {entries} entries")


@pytest.mark.parametrize("size", [METADATA_LIMIT + 2048, METADATA_LIMIT * 10])
async def test_err_5_metadata_beyond_the_limit_is_refused(identity: Identity, size: int) -> None:
    """ERR-5: Custom metadata beyond the limit is refused, and others are served."""
    async with RawConnection(identity.address) as control:
        within = await _check_with(control, _metadata(METADATA_LIMIT, 1))
        expect(within, equals="grpc-status 0", what="the control: Check with 8192 bytes")
    async with RawConnection(identity.address) as raw, RawConnection(identity.address) as other:
        beyond = await _check_with(raw, _metadata(size, size // 4096))
        beside = await _check_with(other, [])

    expect(
        beyond,
        one_of=["grpc-status 8", "RST_STREAM", "HTTP 431"],
        what=f"Check with {size} bytes of metadata",
    )
    expect(beside, equals="grpc-status 0", what="Check on another connection")


async def test_err_6_the_service_keeps_the_deadline_itself(node: Node) -> None:
    """ERR-6: A deadline that passes ends the call from the service's side, and its handler."""
    service = await node.start(ONE_SUBSCRIBER)

    async with RawConnection(service.address) as raw:
        before = time.monotonic()
        timeout = ("grpc-timeout", f"{int(DEADLINE_GIVEN * 1000)}m")
        stream = await raw.begin(SUBSCRIBE, [timeout])
        await raw.send(stream, framed(pb.StreamDIDEventsRequest()), end=True)
        await raw.seen(
            lambda: bool(raw.answer(stream).headers), bound=PROMPT, what="the subscription stands"
        )
        control = await (await service.events()).ended()
        answer = await raw.over(stream, bound=DEADLINE_GIVEN + PROMPT)
        elapsed = time.monotonic() - before

        expect(control.code, equals="RESOURCE_EXHAUSTED", what="a second subscriber meanwhile")
        expect(
            (answer.grpc_status, answer.reset),
            one_of=[("4", None), (None, CANCEL)],
            what="(grpc-status, RST_STREAM code) of the first call",
        )
        expect(elapsed, at_least=DEADLINE_GIVEN, what="seconds to the end of the first call")
        await until(lambda: _has_place(service), bound=PROMPT, what="the place is given back")


async def test_err_6_a_caller_sees_deadline_exceeded(node: Node) -> None:
    """ERR-6: An ordinary caller sees DEADLINE_EXCEEDED, and the handler stops."""
    service = await node.start(ONE_SUBSCRIBER)

    stream = await service.events(timeout=DEADLINE_GIVEN)
    control = await (await service.events()).ended()
    ended = await stream.ended(DEADLINE_GIVEN + PROMPT)

    expect(control.code, equals="RESOURCE_EXHAUSTED", what="a second subscriber meanwhile")
    # RST_STREAM (CANCEL) means CANCELLED to a caller whose clock is a millisecond behind.
    expect(ended.code, one_of=("DEADLINE_EXCEEDED", "CANCELLED"), what="code of the call")
    await until(lambda: _has_place(service), bound=PROMPT, what="the place is given back")


@pytest.mark.parametrize("how", ["reset", "disconnect"])
async def test_err_7_a_cancelled_call_stops_its_handler(node: Node, how: str) -> None:
    """ERR-7: A caller that cancels or disconnects gives its handler's place back."""
    service = await node.start(ONE_SUBSCRIBER)
    own = service.connect()

    stream = await service.events(channel=own)
    control = await (await service.events()).ended()
    expect(control.code, equals="RESOURCE_EXHAUSTED", what="a second subscriber meanwhile")
    stream.cancel() if how == "reset" else await own.close()
    did(f"the first subscriber left by {how}")

    stands: list[Stream] = []
    await until(
        lambda: _has_place(service, keep=stands), bound=PROMPT, what="the place is given back"
    )
    last = stands[0]
    created = await service.create()
    expect((await last.next()).did, equals=created.did, what="the next event")
    last.cancel()


async def _while_draining(service: Identity) -> Answer:
    """Call while the service drains, and let it end."""
    async with RawConnection(service.address) as raw:
        held = await raw.hold(f"/{SERVICE}/CreateDID", pb.CreateDIDRequest(method="key"))
        service.process.signal(signal.SIGTERM)
        await until(lambda: not service.accepts(), bound=PROMPT, what="the socket is gone")
        answer = await service.call_on(
            service.connect(), "CreateDID", pb.CreateDIDRequest(method="key")
        )
        await held.release()
    await service.process.ended(service.grace)
    return answer


def _leaks(answer: Answer) -> list[str]:
    texts = [answer.message, *(str(value) for name, value in answer.trailing)]
    return [text for text in texts if LEAKS.search(text)]


async def _resolves(service: Identity, name: str) -> bool:
    return (await service.call("ResolveDID", pb.ResolveDIDRequest(did=name))).code == "OK"


async def _has_place(service: Identity, keep: list[Stream] | None = None) -> bool:
    """Tell whether a subscription is accepted now; it is given up at once, unless it is kept.

    One that was given up may hold its place for a moment more.
    """
    stream = await service.events()
    accepted = await stream.silent(0.02)
    if accepted and keep is not None:
        keep.append(stream)
    else:
        stream.cancel()
    return accepted


def _metadata(size: int, entries: int) -> list[tuple[str, str]]:
    """Return so many entries that count exactly `size` bytes together."""
    each, extra = divmod(size, entries)
    names = [f"x-suite-{number:02d}" for number in range(entries)]
    sizes = [each + (extra if number == 0 else 0) for number in range(entries)]
    return [
        (name, "v" * (share - len(name) - ENTRY)) for name, share in zip(names, sizes, strict=True)
    ]


async def _check_with(raw: RawConnection, metadata: list[tuple[str, str]]) -> str:
    """Call Check by hand with custom metadata, and say in a word how it ended."""
    stream = await raw.begin(f"/{HEALTH}/Check", metadata)
    await raw.send(stream, framed(health_pb2.HealthCheckRequest(service="identity")), end=True)
    answer = await raw.over(stream)
    if answer.headers.get(":status") == "431":
        return "HTTP 431"
    if answer.reset is not None:
        return "RST_STREAM"
    return f"grpc-status {answer.grpc_status}"
