"""Chapter 20: deadlines of the mesh client, as its peers see them (ERR-8)."""

import math
import time

import pytest

from .harness.arrivals import Arrival
from .harness.driver import Driver
from .harness.history import ROUNDING, expect_elapsed
from .harness.judging import expect
from .harness.kinds import STREAMS, Kinds, alike, ended, told
from .harness.peer import Peer
from .harness.replies import echo, hangs

CONFIGURED = 0.4
"""`default_timeout` of the driver called waiting, in seconds."""

DEFAULT = 30.0
"""What it is by default."""

ATTEMPT = 10.0
"""`circuit.timeout` by default, which bounds an attempt of a call with one answer."""

LONGER = 2.0
"""Seconds of a deadline that a caller gives."""

LATER = 0.5
"""Seconds to an answer that comes within that, and after `default_timeout`."""

WIRE = 0.01
"""Part by which `grpc-timeout` may differ from what is left: gRPC C-core rounds it up to three
digits; others may round it down."""


@pytest.mark.driven("waiting")
async def test_err_8_a_call_without_a_deadline_ends_at_the_default(
    driver: Driver, kinds: Kinds, peer: Peer, name: str
) -> None:
    """ERR-8: default_timeout is the deadline of calls that have none, and of no others."""
    kinds.answers(hangs())
    peer.answers(echo(after=LATER))

    since = time.monotonic()
    control = driver.begin(name, b"slow", timeout=LONGER)
    begun = kinds.begin(b"asked")
    for what, called, asked in (
        ("a call with a longer one", peer, LONGER),
        *((kind, found, CONFIGURED) for kind, found in kinds.peers.items()),
    ):
        await called.arrived(1)
        _expect_timeout(called.arrivals, since, asked, what)
    outcomes, longer = await ended(begun), await control

    expect((longer.code, longer.payloads), equals=("OK", (b"slow",)), what="the longer deadline")
    expect(
        {kind: (outcomes[kind].code, attempts) for kind, attempts in kinds.seen(len).items()},
        equals=alike(("DEADLINE_EXCEEDED", 1)),
        what="code of each kind of call without a deadline, and its attempts",
    )
    for kind, outcome in outcomes.items():
        expect_elapsed(
            outcome.elapsed, since=outcome.since, at_least=CONFIGURED, at_most=CONFIGURED,
            what=f"time to the end of the call, {kind}",
        )  # fmt: skip


@pytest.mark.driven("pooling")
async def test_err_8_the_default_is_half_a_minute(kinds: Kinds) -> None:
    """ERR-8: Without default_timeout in its configuration a client allows 30 s."""
    since = time.monotonic()
    outcomes = await kinds.call(b"asked")

    expect(told(outcomes), equals=alike(("OK", (b"asked",))), what="calls without a deadline")
    for kind, peer in kinds.peers.items():
        # The bound of an attempt (CBR-10) may be told to the peer of a call with one answer.
        least = DEFAULT if kind in STREAMS else ATTEMPT
        _expect_timeout(peer.arrivals, since, least, kind, at_most=DEFAULT)


def _expect_timeout(
    arrivals: list[Arrival], since: float, asked: float, what: str, *, at_most: float | None = None
) -> None:
    """Compare the `grpc-timeout` of a call's one attempt with what was left of its deadline.

    Args:
        arrivals: one.
        since: when the call was not made yet, on the monotonic clock.
        asked: the deadline in seconds.
        what: which call.
        at_most: what it is not to be beyond; None: the deadline.
    """
    expect(len(arrivals), equals=1, what=f"attempts, {what}")
    timeout = arrivals[0].timeout
    left = asked - (arrivals[0].time - since)
    expect(
        math.inf if timeout is None else timeout,
        at_least=left * (1 - WIRE) - ROUNDING,
        at_most=(asked if at_most is None else at_most) * (1 + WIRE) + ROUNDING,
        what=f"seconds of grpc-timeout (inf: none), {what}",
    )
