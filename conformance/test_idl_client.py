"""Chapter 6: answers of a newer server, as the mesh client understands them (IDL-6)."""

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import status_pb2

from blackhole.conformance.v1 import driver_pb2, probe_pb2

from .harness import bounds
from .harness.driver import Driver
from .harness.fixtures_client import DRIVEN
from .harness.health import SERVING
from .harness.judging import expect
from .harness.kinds import Kinds, alike, told
from .harness.peer import Peer
from .harness.replies import End, Reply, raw_message
from .harness.service import seconds

PAYLOAD = b"understood"

KNOWN = probe_pb2.UnaryResponse(payload=PAYLOAD).SerializeToString()
"""The answer, which all four kinds of call have alike."""

PLAIN = b"".join(
    (
        b"\x10\x63",  # field 2, varint 99: a number of an enum
        b"\x18" + b"\xff" * 9 + b"\x01",  # field 3, varint -1: another
        b"\xa9\x06" + b"\x01" * 8,  # field 101, 64-bit
        b"\xb2\x06\x05hello",  # field 102, length-delimited
        b"\xbd\x06" + b"\x02" * 4,  # field 103, 32-bit
        b"\xf8\xff\xff\xff\x0f\x01",  # field 536,870,911, the largest, varint 1
    )
)
"""Fields that no answer has in this edition, one of each wire type."""


def _nested(body: bytes) -> bytes:
    """Return field 4, a message."""
    return b"\x22" + bytes([len(body)]) + body


NEWER = PLAIN + _nested(PLAIN + _nested(KNOWN))
"""The same, with a message that holds them, and in it one that looks like the answer."""

REASON = AnyMessage(type_url="type.googleapis.com/blackhole.newer.v9.Reason", value=PLAIN)
"""A detail of a type that nobody knows."""

CHECKED = seconds(DRIVEN["quick"]["registry"]["rescan_interval"]) + bounds.PROMPT
"""Seconds after which a socket that came is known, and its health."""

NO_STATUS = 99
"""No number of grpc.health.v1.HealthCheckResponse.ServingStatus."""


@pytest.mark.parametrize(
    "body",
    [NEWER + KNOWN, KNOWN + NEWER, PLAIN + KNOWN + _nested(KNOWN)],
    ids=["before", "after", "around"],
)
async def test_idl_6_fields_of_a_newer_answer_are_ignored(kinds: Kinds, body: bytes) -> None:
    """IDL-6: An answer with fields of a newer schema is understood as without them."""
    kinds.answers(raw_message(KNOWN), raw_message(body))

    control = await kinds.call(b"asked")
    outcomes = await kinds.call(b"asked")

    for what, seen in (("without unknown fields", control), ("with unknown fields", outcomes)):
        expect(told(seen), equals=alike(("OK", (PAYLOAD,))), what=f"answers {what}")
    expect(kinds.seen(len), equals=alike(2), what="calls that arrived")


async def test_idl_6_details_of_a_newer_error_are_kept(kinds: Kinds) -> None:
    """IDL-6: Details of an error come back, also of types and with fields that nobody knows."""
    status = status_pb2.Status(code=7, message="not you", details=[REASON])
    # Fields 2 and 3 are the status's own, so the newer ones are taken from behind these.
    details = status.SerializeToString() + _nested(PLAIN) + PLAIN[PLAIN.index(b"\xa9\x06") :]
    kinds.answers(Reply("a newer error", (End(7, "not you", details),)))

    outcomes = await kinds.call(b"asked")

    expect(
        {kind: (one.code, one.message, [(each.type_url, each.value) for each in one.details])
         for kind, one in outcomes.items()},
        equals=alike(("PERMISSION_DENIED", "not you", [(REASON.type_url, REASON.value)])),
        what="code, message and details of each kind of call",
    )  # fmt: skip
    expect(kinds.seen(len), equals=alike(1), what="calls that arrived")


async def test_idl_6_a_newer_server_is_healthy(driver: Driver, name: str) -> None:
    """IDL-6: SERVING with fields of a newer schema is SERVING."""
    async with _serving(driver, name, SERVING) as peer:
        state = await _state(driver, name)
        outcome = await driver.call(name, b"asked")

    expect(state, equals="ENDPOINT_STATE_HEALTHY", what="state of the endpoint")
    expect((outcome.code, outcome.payloads), equals=("OK", (b"asked",)), what="outcome of a call")
    expect([one.payloads for one in peer.arrivals], equals=[(b"asked",)], what="what arrived")


async def test_idl_6_a_status_that_nobody_knows_is_not_serving(driver: Driver, name: str) -> None:
    """IDL-6: A number that the enum of health does not have is an answer, and not SERVING."""
    async with _serving(driver, name, NO_STATUS) as peer:
        state = await _state(driver, name)

    expect(state, equals="ENDPOINT_STATE_UNHEALTHY", what="state of the endpoint")
    expect(
        [check.payloads for check in peer.checks[:1]],
        equals=[(name.encode(),)],
        what="what the first check asked for",
    )


def _serving(driver: Driver, name: str, status: int) -> Peer:
    """Return a peer, to be opened, that answers health checks as a newer server does."""
    peer = Peer(driver.path.with_name(f"{name}.sock"))
    peer.health = raw_message(b"\x08" + bytes([status]) + NEWER)
    return peer


async def _state(driver: Driver, name: str) -> str:
    """Return the state of the one endpoint of a service, once it was checked."""
    async with driver.watch() as registry:
        await registry.seen(
            lambda _: any(one.state for one in registry.of(name)),
            bound=CHECKED,
            what=f"the endpoint {name} is checked",
        )
        (endpoint,) = registry.of(name)
        return driver_pb2.EndpointState.Name(endpoint.state)
