"""Chapter 19: compression, as the callers of a service see it (CMP-1 to CMP-5, CMP-7)."""

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from blackhole.identity.v1 import identity_pb2 as pb

from .harness import encodings
from .harness.bounds import DEADLINE
from .harness.calls import parsed
from .harness.encodings import GZIP, accepted_by, accepts, compressed_frame, encoding_of
from .harness.identity import HEALTH, SERVICE, Identity
from .harness.judging import Untestable, did, expect, not_run
from .harness.nodes import Node
from .harness.raw import Header, RawAnswer, RawConnection, framed

MIN_BYTES = 1024
"""Bytes of an answer from which on it is compressed, by default (config.proto)."""

LARGE = {"text": "compressible " * 1000}
"""Properties that any encoding makes smaller, far above the default of `min_bytes`."""

LIMIT = 1 << 20
"""Bytes of a message at most on the service that bombs are sent to."""

BOMB = 60 << 20
"""Bytes that a bomb inflates to. Deflate shrinks zeros to a 1029th: 61 kB, which fits the window
of 65,535 bytes that a stream of HTTP/2 begins with."""

BOMBS = 4
"""Bombs at once: a service that inflates them whole needs as many times `BOMB`, or takes turns."""

MEMORY = BOMB // 2
"""Bytes by which the bombs may raise the peak of a service's memory: half of what it takes to
inflate one of them. The reference's grew by less than 1 MiB, and by 299 MiB when it inflates
before it looks; what is left is for runtimes whose heap grows with anything."""

CORRUPT = ("3", "13")
"""INVALID_ARGUMENT, because it is the caller's fault, or INTERNAL, because gRPC's own libraries
say so (and its standard, of the flag without an encoding)."""


async def test_cmp_1_gzip_requests_are_understood(identity: Identity) -> None:
    """CMP-1: A request compressed with gzip is understood, whatever way it was compressed."""
    request = pb.CreateDIDRequest(method="key", properties=LARGE)
    ways = {
        "not compressed": ([], framed(request)),
        "gzip": ([GZIP], compressed_frame(request)),
        "gzip, stored": ([GZIP], framed(encodings.compressed(request, level=0), compressed=True)),
        "gzip announced, message without the flag": ([GZIP], framed(request)),
    }

    async with RawConnection(identity.address) as raw:
        created = {way: await _created(raw, body, headers) for way, (headers, body) in ways.items()}
        did("created a DID in each way")
        small = await raw.call(f"/{HEALTH}/Check", compressed_frame(b""), [GZIP])

    expect(
        {way: dict((await identity.resolve(name)).properties) for way, name in created.items()},
        equals=dict.fromkeys(ways, LARGE),
        what="properties of the DID created in each way",
    )
    expect(small.grpc_status, equals="0", what="grpc-status of Check with an empty message")


async def test_cmp_1_the_request_of_a_stream_is_understood(identity: Identity) -> None:
    """CMP-1: A gzip request to a method that streams its answer is understood."""
    request = pb.StreamDIDEventsRequest(types=[pb.EVENT_TYPE_UPDATED])

    async with RawConnection(identity.address) as raw:
        stream = await _subscribed(raw, compressed_frame(request), [GZIP])
        created = await identity.create()
        await identity.update(created.did, {"n": "1"})
        answer = await _messages(raw, stream, 1)

    event = parsed(answer.messages()[0], pb.DIDEvent)
    expect(
        (event.did, event.type),
        equals=(created.did, pb.EVENT_TYPE_UPDATED),
        what="DID and type of the first event",
    )


async def test_cmp_2_large_answers_are_compressed(identity: Identity) -> None:
    """CMP-2: By default answers of 1024 bytes are compressed for who accepts gzip, of 1023 not."""
    await _compressed_from(identity, MIN_BYTES)


async def test_cmp_2_what_is_large_can_be_configured(node: Node) -> None:
    """CMP-2: Answers of compression.min_bytes are compressed, and of one byte less not."""
    service = await node.start({"compression": {"min_bytes": 5000}})

    await _compressed_from(service, 5000)


async def test_cmp_2_large_messages_of_a_stream_are_compressed(identity: Identity) -> None:
    """CMP-2: A large message in a stream of answers is compressed for who accepts gzip."""
    async with RawConnection(identity.address) as raw:
        request = framed(pb.StreamDIDEventsRequest())
        stream = await _subscribed(raw, request, [accepts("gzip")])
        small, large = await identity.create(), await identity.create(properties=LARGE)
        answer = await _messages(raw, stream, 2)

    events = [parsed(message, pb.DIDEvent) for message in encodings.read(answer)]
    expect(
        [(event.did, dict(event.created.document.properties)) for event in events],
        equals=[(small.did, {}), (large.did, LARGE)],
        what="the events",
    )
    expect(answer.frames()[1][0], equals=True, what="compressed flag of the large event")
    expect(encoding_of(answer), equals="gzip", what="grpc-encoding")


async def test_cmp_3_who_does_not_accept_gzip_gets_none(identity: Identity) -> None:
    """CMP-3: A caller that does not list gzip gets what is not compressed, even if it sent gzip."""
    created = await identity.create(properties=LARGE)
    request = pb.ResolveDIDRequest(did=created.did)
    callers: dict[str, list[Header]] = {
        "lists nothing": [],
        "lists identity": [accepts("identity")],
        "lists an encoding of its own": [accepts("identity", "x-suite")],
    }

    async with RawConnection(identity.address) as raw:
        answers = {
            caller: await raw.call(f"/{SERVICE}/ResolveDID", framed(request), headers)
            for caller, headers in callers.items()
        } | {
            f"{caller}, sends gzip": await raw.call(
                f"/{SERVICE}/ResolveDID", compressed_frame(request), [*headers, GZIP]
            )
            for caller, headers in callers.items()
        }
        stream = await _subscribed(raw, framed(pb.StreamDIDEventsRequest()), [accepts("identity")])
        await identity.create(properties=LARGE)
        event = await _messages(raw, stream, 1)

    expect(
        {caller: (encoding_of(answer), _flags(answer)) for caller, answer in answers.items()},
        equals=dict.fromkeys(answers, ("identity", [False])),
        what="grpc-encoding and compressed flags, by caller",
    )
    for caller, answer in answers.items():
        document = parsed(answer.messages()[0], pb.ResolveDIDResponse).document
        expect(dict(document.properties), equals=LARGE, what=f"properties, to who {caller}")
    expect(
        (encoding_of(event), _flags(event)),
        equals=("identity", [False]),
        what="grpc-encoding and compressed flags of a stream to who lists identity",
    )


async def test_cmp_4_deflate_is_understood_or_unimplemented(identity: Identity) -> None:
    """CMP-4: An encoding of gRPC's own that is not accepted is UNIMPLEMENTED, and not listed."""
    request = pb.CreateDIDRequest(method="key", properties=LARGE)

    async with RawConnection(identity.address) as raw:
        control = await _create(raw, compressed_frame(request), [GZIP])
        answer = await _create(
            raw, compressed_frame(request, "deflate"), [("grpc-encoding", "deflate")]
        )
        after = await _create(raw, compressed_frame(request), [GZIP])

    listed = accepted_by(control) | accepted_by(answer)
    expect(control.grpc_status, equals="0", what="grpc-status of the control, with gzip")
    expect("gzip" in listed, equals=True, what="whether grpc-accept-encoding lists gzip")
    expect(
        (answer.grpc_status, "deflate" in listed),
        one_of=[("12", False), ("0", True)],
        what="grpc-status with deflate, and whether grpc-accept-encoding lists it",
    )
    if answer.grpc_status == "0":
        name = parsed(answer.messages()[0], pb.CreateDIDResponse).did
        properties = dict((await identity.resolve(name)).properties)
        expect(properties, equals=LARGE, what="properties that came with deflate")
    expect(after.grpc_status, equals="0", what="grpc-status of the next call on the connection")


async def test_cmp_4_an_unknown_encoding_is_refused(identity: Identity) -> None:
    """CMP-4: An encoding that nobody knows is refused, and the connection lives."""
    request = pb.CreateDIDRequest(method="key")

    async with RawConnection(identity.address) as raw:
        control = await _create(raw, compressed_frame(request), [GZIP])
        answer = await _create(raw, compressed_frame(request), [("grpc-encoding", "x-suite")])
        after = await _create(raw, framed(request), [])

    expect(control.grpc_status, equals="0", what="grpc-status of the control, with gzip")
    expect(
        (answer.grpc_status, answer.reset),
        one_of=[("12", None), ("13", None)],
        what="grpc-status and RST_STREAM with an unknown encoding",
    )
    expect(
        "x-suite" in accepted_by(control) | accepted_by(answer),
        equals=False,
        what="whether grpc-accept-encoding lists it",
    )
    expect(after.grpc_status, equals="0", what="grpc-status of the next call on the connection")


async def test_cmp_5_what_inflates_beyond_the_limit_is_refused(node: Node) -> None:
    """CMP-5: What inflates beyond the limit is RESOURCE_EXHAUSTED, and is never in memory."""
    service = await node.start({"limits": {"max_message_bytes": LIMIT}})
    async with RawConnection(service.address) as raw:
        within = await _create(raw, compressed_frame(_request_of(LIMIT)), [GZIP])
        beyond = await _create(raw, compressed_frame(_request_of(LIMIT + 1)), [GZIP])
    expect(within.grpc_status, equals="0", what="grpc-status of what inflates to the limit")
    before = _peak_memory(service)

    statuses = await asyncio.gather(*(_status_of_a_bomb(service) for _ in range(BOMBS)))
    grown = _peak_memory(service) - before
    did(f"sent {BOMBS} bombs; the service's peak memory grew by {grown >> 20} MiB")

    expect(beyond.grpc_status, equals="8", what="grpc-status of what inflates to one byte more")
    expect(
        statuses,
        equals=[("8", "0")] * BOMBS,
        what=f"grpc-status of what inflates to {BOMB >> 20} MiB, and of the next call there",
    )
    expect(grown, at_most=MEMORY, what="bytes by which the service's peak memory grew")
    await service.lives()


async def test_cmp_7_corrupt_gzip_is_refused(identity: Identity) -> None:
    """CMP-7: Corrupt gzip is INTERNAL or INVALID_ARGUMENT, and the connection lives."""
    whole = encodings.compressed(pb.CreateDIDRequest(method="key", properties=LARGE))
    flag = "the compressed flag without an encoding"
    corrupt: dict[str, tuple[list[Header], bytes]] = {
        "no gzip at all": ([GZIP], b"no gzip at all"),
        "a wrong magic number": ([GZIP], b"\x1f\x8c" + whole[2:]),
        "a flipped byte": ([GZIP], _flipped(whole, len(whole) // 2)),
        "a wrong checksum": ([GZIP], _flipped(whole, len(whole) - 8)),
        "a wrong length": ([GZIP], _flipped(whole, len(whole) - 1)),
        "only half of it": ([GZIP], whole[: len(whole) // 2]),
        "no checksum": ([GZIP], whole[:-8]),
        flag: ([], whole),
        f"{flag} but identity": ([("grpc-encoding", "identity")], whole),
    }
    events = await identity.events(pb.EVENT_TYPE_CREATED)

    async with RawConnection(identity.address) as raw:
        control = await _created(raw, framed(whole, compressed=True), [GZIP])
        expect((await events.next()).did, equals=control, what="the first event: the control")
        answers = {
            what: await _create(raw, framed(body, compressed=True), headers)
            for what, (headers, body) in corrupt.items()
        }
        after = await _created(raw, framed(whole, compressed=True), [GZIP])

    for what, answer in answers.items():
        expect(answer.grpc_status, one_of=CORRUPT, what=f"grpc-status of {what}")
    expect((await events.next()).did, equals=after, what="the next event: the next call's DID")
    events.cancel()


async def _create(raw: RawConnection, body: bytes, headers: list[Header]) -> RawAnswer:
    return await raw.call(f"/{SERVICE}/CreateDID", body, headers)


async def _created(raw: RawConnection, body: bytes, headers: list[Header]) -> str:
    """Create a DID that must be created, by hand, and return it."""
    answer = await _create(raw, body, headers)
    expect(answer.grpc_status, equals="0", what=f"grpc-status of CreateDID with {headers}")
    return str(parsed(answer.messages()[0], pb.CreateDIDResponse).did)


async def _subscribed(raw: RawConnection, body: bytes, headers: list[Header]) -> int:
    """Subscribe to events by hand; return the stream once the subscription stands."""
    stream = await raw.begin(f"/{SERVICE}/StreamDIDEvents", headers)
    await raw.send(stream, body, end=True)
    await raw.seen(
        lambda: bool(raw.answer(stream).headers), bound=DEADLINE, what="the subscription stands"
    )
    expect(raw.answer(stream).grpc_status, equals=None, what="grpc-status of the subscription")
    return stream


async def _messages(raw: RawConnection, stream: int, count: int) -> RawAnswer:
    """Wait for so many messages of a stream."""
    answer = raw.answer(stream)
    await raw.seen(lambda: len(answer.frames()) >= count, bound=DEADLINE, what=f"{count} messages")
    return answer


def _flags(answer: RawAnswer) -> list[bool]:
    return [flag for flag, _ in answer.frames()]


async def _compressed_from(service: Identity, size: int) -> None:
    """Make sure that answers of `size` bytes are compressed, and answers of one less are not."""
    flags = {}
    for each in (size - 1, size):
        document = await _document_of(service, each)
        for accepted in (("gzip",), ("identity", "deflate", "gzip")):
            answer = await _resolved(service, document, accepted)
            flags[each, accepted] = _flags(answer)
            if flags[each, accepted] == [True]:
                expect(encoding_of(answer), one_of=accepted, what="grpc-encoding")
                expect(len(answer.messages()[0]), at_most=each - 1, what="bytes on the wire")

    expect(
        flags,
        equals={(each, accepted): [each == size] for each, accepted in flags},
        what="compressed flags, by bytes of the answer and encodings accepted",
    )


async def _document_of(service: Identity, size: int) -> pb.DIDDocument:
    """Create DIDs until ResolveDID's answer for one has exactly so many bytes.

    The length of `created_at` on the wire varies with the time itself, so that the first
    guess may be off by a byte or two.
    """
    padding = size - 256
    for _ in range(20):
        properties = {"padding": "x" * padding}
        created = await service.create(properties=properties)
        document = pb.DIDDocument(
            did=created.did,
            properties=properties,
            created_at=created.created_at,
            updated_at=created.created_at,
        )
        if (missing := size - pb.ResolveDIDResponse(document=document).ByteSize()) == 0:
            return document
        padding += missing
    raise Untestable(f"no DID makes an answer of {size} bytes")


async def _resolved(
    service: Identity, document: pb.DIDDocument, accepted: Sequence[str]
) -> RawAnswer:
    """Resolve a DID for a caller that accepts these encodings; the document must come back."""
    request = framed(pb.ResolveDIDRequest(did=document.did))
    async with RawConnection(service.address) as raw:
        answer = await raw.call(f"/{SERVICE}/ResolveDID", request, [accepts(*accepted)])
    expect(
        [parsed(message, pb.ResolveDIDResponse) for message in encodings.read(answer)],
        equals=[pb.ResolveDIDResponse(document=document)],
        what=f"the answer to who accepts {accepted}",
    )
    return answer


def _request_of(size: int) -> pb.CreateDIDRequest:
    """Return a request that is serialized in exactly so many bytes, nearly all of them zeros."""
    request = pb.CreateDIDRequest(method="key", properties={"zeros": "\0" * size})
    request.properties["zeros"] = "\0" * (size - (request.ByteSize() - size))
    assert request.ByteSize() == size
    return request


@cache
def _bomb() -> bytes:
    part = _request_of(1 << 20)
    return framed(encodings.bomb(part, BOMB >> 20), compressed=True)


async def _status_of_a_bomb(service: Identity) -> tuple[str | None, str | None]:
    """Send a bomb on a connection of its own; return its grpc-status, and the next call's."""
    async with RawConnection(service.address) as raw:
        answer = await _create(raw, _bomb(), [GZIP])
        after = await raw.call(f"/{HEALTH}/Check", framed(b""))
    return answer.grpc_status, after.grpc_status


def _peak_memory(service: Identity) -> int:
    """Return the most bytes of memory that the service's processes ever used."""
    return sum(_peak_of(process.pid) for process in service.process.family())


def _peak_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    if (match := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)) is None:
        not_run("the host does not tell the peak memory of a process (VmHWM of /proc/PID/status)")
    return int(match[1]) << 10


def _flipped(data: bytes, position: int) -> bytes:
    """Return the bytes with all bits of one of them turned over."""
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]
