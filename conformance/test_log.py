"""Chapter 25: the log (LOG-1 to LOG-4, LOG-6)."""

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.bounds import PROMPT, until
from .harness.calls import Answer
from .harness.events import Events
from .harness.identity import SERVICE, Identity
from .harness.judging import did, expect, inconclusive
from .harness.ledger import Ledger
from .harness.logs import LEVELS, Record, calls, faults, records, written_at
from .harness.nodes import Node
from .harness.raw import RawConnection, framed
from .harness.storage import Storage

TALKATIVE = {"telemetry": {"log_level": "LOG_LEVEL_DEBUG"}}
"""The level at which most is written that could break a line."""

REQUEST_ID = "x-request-id"

UUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)
"""As RFC 9562 has it."""

MIB = 1 << 20

LATE = 0.5
"""Seconds until the deadline of a call that is to meet it, once it has begun."""

CREATE, RESOLVE = f"/{SERVICE}/CreateDID", f"/{SERVICE}/ResolveDID"
FOLLOW = f"/{SERVICE}/StreamDIDEvents"

ROUNDED = 0.05
"""Seconds by which two clocks that measure one call may differ."""

BY_CALLER = ("CANCELLED", "DEADLINE_EXCEEDED")
"""Codes of a call that its caller gave up, of which the service may see either first."""

FORGED = '{"level":"error","message":"forged"}'

HOSTILE = (
    f'"}}{FORGED}',
    f"\\n{FORGED}\\r\\n",
    FORGED,
    "%s%n{0}${jndi:x}\\u000a",
    "x" * 7000,
    "<script>&amp;'",
)
"""Request IDs that any gRPC library sends."""

BROKEN = (b"a\r\n" + FORGED.encode(), b"a\x00b", b"\x1b[31mred", b"\xff\xfe", b"\x7f\x80")
"""Request IDs that none would send."""


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made, and what its line must tell."""

    request_id: str
    method: str
    codes: tuple[str, ...]
    """Any of them."""
    least: float
    most: float
    """Seconds that it took, by the suite's clock."""


@pytest.mark.also_profile("platform")
async def test_log_1_the_log_of_each_service_is_json(node: Node) -> None:
    """LOG-1: Every line of every service's log is a JSON object of its own."""
    for kind in (Events, Identity, Ledger, Storage):
        await _expect_a_log(node, kind)


async def test_log_1_every_line_is_an_object(node: Node) -> None:
    """LOG-1: Every line of the log is a JSON object with time, level, message and service."""
    await _expect_a_log(node, Identity)


async def _expect_a_log(node: Node, kind: type[Any]) -> None:
    before = time.time()
    service = await node.serve(kind, TALKATIVE)
    await service.lives()
    await service.channel.unary(f"/{SERVICE}/NoSuchMethod", b"", None)
    await service.stop()
    after = time.time()

    log = service.process.stderr
    expect(faults(log), equals=[], what=f"lines of {kind.NAME} that are no JSON object")
    lines = records(service.process)
    expect(len(lines), at_least=1, what=f"lines of {kind.NAME}")
    expect(
        [line for line in lines if not _whole(line, kind.NAME)],
        equals=[],
        what="lines without `level`, `message`, or `service` as it should be",
    )
    expect(
        [line for line in lines if not before <= (written_at(line) or 0.0) <= after],
        equals=[],
        what="lines whose `time` is not RFC 3339, or not between start and end of the process",
    )


def _whole(line: Record, service: str) -> bool:
    message = line.get("message")
    return (
        line.get("level") in LEVELS
        and isinstance(message, str)
        and message != ""
        and line.get("service") == service
    )


async def _call(service: Identity, method: str, request: Any) -> Made:
    """Make a unary call."""
    request_id = f"suite-{uuid4()}"
    answer = await service.call(method, request, metadata=[(REQUEST_ID, request_id)])
    return Made(request_id, f"/{SERVICE}/{method}", (answer.code,), 0.0, answer.elapsed)


async def _creates(service: Identity) -> Made:
    return await _call(service, "CreateDID", pb.CreateDIDRequest(method="key"))


async def _creates_badly(service: Identity) -> Made:
    return await _call(service, "CreateDID", pb.CreateDIDRequest(method="?"))


async def _resolves_nobody(service: Identity) -> Made:
    return await _call(service, "ResolveDID", pb.ResolveDIDRequest(did="did:key:nobody"))


async def _follows_and_leaves(service: Identity) -> Made:
    request_id = f"suite-{uuid4()}"
    began = time.monotonic()
    (await service.events(metadata=[(REQUEST_ID, request_id)])).cancel()
    return Made(request_id, FOLLOW, BY_CALLER, 0.0, time.monotonic() - began + PROMPT)


async def _follows_until_its_deadline(service: Identity) -> Made:
    request_id = f"suite-{uuid4()}"
    began = time.monotonic()
    events = await service.events(metadata=[(REQUEST_ID, request_id)], timeout=LATE)
    if (late := time.monotonic() - began) >= LATE:
        inconclusive("the host stalled: a call met its deadline before it had begun")
    await events.ended()
    most = time.monotonic() - began + PROMPT
    return Made(request_id, FOLLOW, BY_CALLER, LATE - late - ROUNDED, most)


async def _calls_what_is_not_there(service: Identity) -> Made:
    request_id, path = f"suite-{uuid4()}", f"/{SERVICE}/NoSuchMethod"
    answer = await service.channel.unary(path, b"", None, metadata=[(REQUEST_ID, request_id)])
    return Made(request_id, path, ("UNIMPLEMENTED",), 0.0, answer.elapsed)


OPERATIONS = (
    _creates,
    _creates_badly,
    _resolves_nobody,
    _follows_and_leaves,
    _follows_until_its_deadline,
    _calls_what_is_not_there,
)


async def test_log_2_each_call_is_logged_once_as_it_ended(node: Node, chance: Random) -> None:
    """LOG-2: Each call leaves one line with method, request ID, duration, code, and its level."""
    service = await node.start()
    mix = [one for one in OPERATIONS for _ in range(chance.randint(2, 6))]
    chance.shuffle(mix)

    made = await asyncio.gather(*(one(service) for one in mix))

    did(f"made {len(made)} calls at once")
    wanted = {one.request_id for one in made}
    await until(
        lambda: wanted <= {line["request_id"] for line in calls(service.process)},
        bound=PROMPT,
        what="every call has its line",
        every=0.02,
        seen=lambda: wanted - {line["request_id"] for line in calls(service.process)},
    )
    lines = calls(service.process)
    count = Counter(line["request_id"] for line in lines)
    expect(
        {one.request_id: count[one.request_id] for one in made},
        equals=dict.fromkeys(wanted, 1),
        what="lines by request ID",
    )
    by_id = {line["request_id"]: line for line in lines}
    for one in made:
        _expect_told(by_id[one.request_id], one)


def _expect_told(line: Record, made: Made) -> None:
    expect(line.get("method"), equals=made.method, what=f"`method` of {line}")
    expect(line.get("code"), one_of=made.codes, what=f"`code` of {line}")
    level = "info" if line.get("code") == "OK" else "error"
    expect(line.get("level"), equals=level, what=f"`level` of {line}")
    duration = line["duration"]
    expect(isinstance(duration, int | float), equals=True, what=f"`duration` of {line} is a number")
    expect(duration, at_least=max(made.least, 0.0), what=f"`duration` of {line}, in seconds")
    expect(duration, at_most=made.most + ROUNDED, what=f"`duration` of {line}, in seconds")


async def test_log_3_a_request_id_is_kept_or_made(node: Node) -> None:
    """LOG-3: The caller's request ID is that of the line; without one it is a UUID."""
    service = await node.start()
    given = ["r", f"suite-{uuid4()}", "a/b:c=d.e_f~!", "x" * 128]

    for request_id in given:
        await service.create(metadata=[(REQUEST_ID, request_id)])
    for _ in range(3):
        await service.create()
    await _logged(service, len(given) + 3)

    seen = [line["request_id"] for line in calls(service.process) if line["method"] == CREATE]
    expect(seen[: len(given)], equals=given, what="request IDs of calls that bring one")
    made = seen[len(given) :]
    expect(
        [one for one in made if not UUID.fullmatch(one)],
        equals=[],
        what="request IDs of calls without one that are no UUID",
    )
    expect(len(set(made)), equals=3, what=f"different ones among {made}")


async def test_log_4_the_request_id_comes_back(identity: Identity) -> None:
    """LOG-4: The request ID is in the metadata of each answer, whatever the call came to."""
    request_id = f"suite-{uuid4()}"
    metadata = [(REQUEST_ID, request_id)]
    create, nobody = pb.CreateDIDRequest(method="key"), pb.ResolveDIDRequest(did="did:key:nobody")

    answers = {
        "a call that succeeds": await identity.call("CreateDID", create, metadata=metadata),
        "a call that fails": await identity.call("ResolveDID", nobody, metadata=metadata),
        "a stream": await _ended(identity, metadata),
    }

    for what, answer in answers.items():
        expect(_told(answer), equals=[request_id], what=f"{REQUEST_ID} in the metadata of {what}")
    own = await identity.call("CreateDID", create)
    expect(len(_told(own)), equals=1, what="request IDs in the metadata of a call without one")


async def _ended(identity: Identity, metadata: list[tuple[str, str]]) -> Answer:
    """Return how a stream ended that is refused."""
    request = pb.StreamDIDEventsRequest(types=[99])  # type: ignore[list-item]
    stream = await identity.channel.subscribe(FOLLOW, request, pb.DIDEvent, metadata=metadata)
    return (await stream.rest())[1]


def _told(answer: Answer) -> list[str | bytes]:
    """Return the request IDs in the metadata of an answer; the same twice is one."""
    pairs = (*answer.initial, *answer.trailing)
    return list(dict.fromkeys(value for name, value in pairs if name == REQUEST_ID))


async def test_log_6_hostile_values_break_no_line(node: Node) -> None:
    """LOG-6: Control bytes, quotes or a MiB in IDs and fields break no line, and forge none."""
    service = await node.start(TALKATIVE)
    values = [f"a\n{FORGED}\n", '"}' + FORGED, "\x00\x1b[2J\x7f\x85\u2028", "x" * MIB]

    for request_id in HOSTILE:
        await service.create(metadata=[(REQUEST_ID, request_id)])
    for value in values:
        await service.call("CreateDID", pb.CreateDIDRequest(method=value))
        await service.call("ResolveDID", pb.ResolveDIDRequest(did=value))
        properties = pb.CreateDIDRequest(method="key", properties={value: value})
        await service.call("CreateDID", properties)
    await _sends_by_hand(service)
    did(f"called with {len(HOSTILE) + len(BROKEN)} request IDs and {len(values)} values")
    last = f"suite-{uuid4()}"
    await service.create(metadata=[(REQUEST_ID, last)])
    await until(
        lambda: any(line["request_id"] == last for line in calls(service.process)),
        bound=PROMPT,
        what="the last call has its line",
        every=0.02,
    )

    log = service.process.stderr
    expect(faults(log), equals=[], what="lines that are no JSON object", show=_short)
    expect(
        [line for line in records(service.process) if line.get("message") == "forged"],
        equals=[],
        what="lines that a caller wrote",
    )
    told = Counter(line["method"] for line in calls(service.process))
    expect(told[CREATE], at_least=len(HOSTILE) + 2 * len(values) + 1, what=f"lines of {CREATE}")
    expect(told[RESOLVE], equals=len(values), what=f"lines of {RESOLVE}")


async def _sends_by_hand(service: Identity) -> None:
    """Send what no library would; whether it is refused is not asked here."""
    for request_id in BROKEN:
        async with RawConnection(service.address) as raw:
            stream = await raw.begin(CREATE, [(REQUEST_ID, request_id)])
            await raw.send(stream, framed(pb.CreateDIDRequest(method="key")), end=True)
            await raw.seen(partial(_over, raw, stream), bound=PROMPT, what="the call is over")


def _over(raw: RawConnection, stream: int) -> bool:
    return raw.closed or raw.answer(stream).over


async def _logged(service: Identity, number: int) -> None:
    """Wait until so many calls of CreateDID have their lines."""
    await until(
        lambda: Counter(line["method"] for line in calls(service.process))[CREATE] >= number,
        bound=PROMPT,
        what=f"{number} calls have their lines",
        every=0.02,
    )


def _short(lines: Any) -> str:
    return "\n".join(repr(line)[:300] for line in lines)
