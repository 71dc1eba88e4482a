"""Chapter 19: compression, as the peers of the mesh client see it (CMP-6)."""

import pytest

from blackhole.conformance.v1 import probe_pb2

from .harness.arrivals import Arrival, Message
from .harness.driver import Driver
from .harness.judging import expect
from .harness.nodes import Node
from .harness.peer import Peer
from .harness.replies import fails, ok

MIN_BYTES = 1024
"""Bytes of a request from which on it is compressed, on the shared driver and by default."""

OTHER_MIN_BYTES = 3000
"""The same, as the driver with a configuration of its own is told."""


@pytest.mark.parametrize("method", ["UNARY", "SERVER_STREAM"])
async def test_cmp_6_requests_are_compressed_from_min_bytes_on(
    driver: Driver, peer: Peer, name: str, method: str
) -> None:
    """CMP-6: With compression.enabled a request of min_bytes is compressed, and no shorter one."""
    shorter, large = _payload(MIN_BYTES - 1), _payload(MIN_BYTES)

    outcomes = [
        await driver.call(name, payload, method=method) for payload in (b"", shorter, large)
    ]

    expect(
        [(outcome.code, outcome.payloads) for outcome in outcomes],
        equals=[("OK", (payload,)) for payload in (b"", shorter, large)],
        what="outcomes of the calls",
    )
    expect(
        [_told(arrival) for arrival in peer.arrivals],
        equals=[(0, False), (MIN_BYTES - 1, False), (MIN_BYTES, True)],
        what="bytes of each request, and whether it came compressed",
    )
    expect(peer.arrivals[2].encoding, equals="gzip", what="grpc-encoding of the large one")
    expect(
        len(_message(peer.arrivals[2]).wire), at_most=MIN_BYTES - 1, what="its bytes on the wire"
    )


async def test_cmp_6_every_attempt_is_compressed(driver: Driver, peer: Peer, name: str) -> None:
    """CMP-6: A request that is sent again is compressed again."""
    peer.answers(fails("UNAVAILABLE"), ok(b"done"))

    outcome = await driver.call(name, _payload(MIN_BYTES))

    expect((outcome.code, outcome.payloads), equals=("OK", (b"done",)), what="outcome of the call")
    expect(
        [(arrival.encoding, *_told(arrival)) for arrival in peer.arrivals],
        equals=[("gzip", MIN_BYTES, True)] * 2,
        what="grpc-encoding and bytes of each attempt, and whether it came compressed",
    )


async def test_cmp_6_min_bytes_can_be_configured(node: Node) -> None:
    """CMP-6: The size from which on requests are compressed is the configured one."""
    driver = await node.drive({"compression": {"enabled": True, "min_bytes": OTHER_MIN_BYTES}})
    peer = await node.peer("sizes")
    await driver.finds("sizes")
    sizes = (OTHER_MIN_BYTES - 1, OTHER_MIN_BYTES)

    outcomes = [await driver.call("sizes", _payload(size)) for size in sizes]

    expect([outcome.code for outcome in outcomes], equals=["OK", "OK"], what="codes of the calls")
    expect(
        [_told(arrival) for arrival in peer.arrivals],
        equals=[(size, size == OTHER_MIN_BYTES) for size in sizes],
        what="bytes of each request, and whether it came compressed",
    )


@pytest.mark.driven("breaking")
async def test_cmp_6_nothing_is_compressed_by_default(
    driver: Driver, peer: Peer, name: str
) -> None:
    """CMP-6: Without compression.enabled no request is compressed, however large."""
    payload = _payload(100 * MIN_BYTES)

    outcome = await driver.call(name, payload)

    expect((outcome.code, outcome.payloads), equals=("OK", (payload,)), what="outcome of the call")
    expect(
        [_told(arrival) for arrival in peer.arrivals],
        equals=[(100 * MIN_BYTES, False)],
        what="bytes of the request, and whether it came compressed",
    )


def _payload(size: int) -> bytes:
    """Return the payload of a request that has exactly so many bytes, and shrinks."""
    padding = size - probe_pb2.UnaryRequest(payload=bytes(size)).ByteSize() + size
    assert probe_pb2.UnaryRequest(payload=bytes(padding)).ByteSize() == size
    return b"x" * padding


def _message(arrival: Arrival) -> Message:
    """Return the one message of a request, which can be read."""
    expect(len(arrival.messages), equals=1, what="messages of the request")
    expect(arrival.messages[0].problem, equals="", what="what is wrong with the message")
    return arrival.messages[0]


def _told(arrival: Arrival) -> tuple[int, bool]:
    """Return how many bytes a request has, and whether it came compressed."""
    message = _message(arrival)
    return len(message.body), message.compressed
