"""Chapter 16: which attempts a call is made of (RTY-1 to RTY-3, RTY-7, RTY-8)."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

import pytest

from .harness.arrivals import Arrival
from .harness.calls import Metadata
from .harness.driver import Driver
from .harness.fixtures_client import Peers
from .harness.history import expect_delays
from .harness.judging import expect
from .harness.kinds import KINDS, STREAMS, Kinds, alike, told
from .harness.peer import Peer
from .harness.replies import fails, ok

ATTEMPTS = 4
"""`max_attempts` of the shared driver."""

DELAYS = [0.04, 0.08, 0.1]
"""Seconds between these attempts: 40 ms, doubled each time, 100 ms at most."""

JITTERED_ATTEMPTS = 3
"""`max_attempts` of the driver called jittered."""

CAP = 0.1
"""Its `max_backoff`, which all of its delays would be without jitter."""

JITTER = 0.5
"""Its `jitter`."""

SHORTENED = 0.9 * CAP
"""What the shortest of its 24 delays stays below: none does by chance once in 10^16 runs, or in
10^7 where each delay is late by 14 ms."""

CALLERS = 12
"""Calls that it makes to show that."""

REFUSALS = (
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""Codes that `retryable_codes` does not hold by default: all but OK and UNAVAILABLE."""

LONG = 5.0
"""Seconds of a deadline that comes after all attempts."""

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""RFC 9562, 4."""

OWN = (("x-suite", "kept"), ("x-suite-bin", b"\x00\xff"))
"""Metadata that a caller gives."""


async def test_rty_1_a_retryable_failure_is_tried_again(kinds: Kinds) -> None:
    """RTY-1: After a retryable failure, and only then, the same request is sent again."""
    kinds.answers(ok(b"first"), fails("UNAVAILABLE", "not now"), ok(b"second"))

    control = await kinds.call(b"one", metadata=OWN)
    alone = kinds.seen(_requests)
    outcomes = await kinds.call(b"two", metadata=OWN)

    expect(told(control), equals=alike(("OK", (b"first",))), what="calls that do not fail")
    expect(alone, equals=alike([((b"one",), OWN)]), what="payloads and metadata of their attempts")
    expect(told(outcomes), equals=alike(("OK", (b"second",))), what="calls that fail once")
    expect(
        kinds.seen(lambda arrivals: _requests(arrivals[1:])),
        equals=alike([((b"two",), OWN)] * 2),
        what="payloads and metadata of their attempts",
    )


async def test_rty_1_attempts_are_no_more_than_the_most(kinds: Kinds) -> None:
    """RTY-1: A call that goes on failing is tried max_attempts times in all."""
    for peer in kinds.peers.values():
        peer.otherwise = fails("UNAVAILABLE")

    await kinds.call(b"asked")

    expect(
        kinds.seen(len), equals=alike(ATTEMPTS), what=f"attempts where max_attempts is {ATTEMPTS}"
    )


@pytest.mark.driven("breaking")
async def test_rty_1_one_attempt_is_no_retry(driver: Driver, peer: Peer, name: str) -> None:
    """RTY-1: With max_attempts 1 nothing is tried again."""
    peer.answers(fails("UNAVAILABLE", "not now"), ok(b"again"))

    first = await driver.call(name)
    attempts = len(peer.arrivals)
    second = await driver.call(name)

    expect((first.code, attempts), equals=("UNAVAILABLE", 1), what="a call that fails, attempts")
    expect((second.code, second.payloads), equals=("OK", (b"again",)), what="the call after it")


async def test_rty_2_delays_grow_up_to_the_cap(kinds: Kinds) -> None:
    """RTY-2: Delays double from initial_backoff on, until max_backoff."""
    kinds.answers(*[fails("UNAVAILABLE")] * len(DELAYS), ok(b"done"))

    outcomes = await kinds.call(b"asked")

    expect(told(outcomes), equals=alike(("OK", (b"done",))), what="calls that fail three times")
    for kind, peer in kinds.peers.items():
        expect_delays(peer.arrivals, DELAYS, what=f"delays between attempts, {kind}")


@pytest.mark.driven("jittered")
async def test_rty_2_jitter_shortens_delays_that_are_capped_from_the_first_on(
    driver: Driver, peers: Peers, name: str
) -> None:
    """RTY-2: The cap holds for the first delay too, and jitter makes delays shorter at random."""
    called = [await peers(f"{name}-{number}") for number in range(CALLERS)]
    for peer in called:
        peer.answers(*[fails("ABORTED")] * (JITTERED_ATTEMPTS - 1), ok(b"done"))

    calls = [driver.begin(peer.name, timeout=LONG) for peer in called]
    codes = [(await call).code for call in calls]

    expect(codes, equals=["OK"] * CALLERS, what="codes of calls that fail twice")
    for peer in called:
        expect_delays(
            peer.arrivals, [CAP] * (JITTERED_ATTEMPTS - 1), jitter=JITTER,
            what="delays where initial_backoff is beyond max_backoff",
        )  # fmt: skip
    shortest = min(delay for peer in called for delay in _delays(peer.arrivals))
    expect(shortest, at_most=SHORTENED, what="seconds of the shortest delay, with jitter")


async def test_rty_3_another_code_is_never_retried(kinds: Kinds) -> None:
    """RTY-3: A code that is not in retryable_codes comes back after one attempt."""
    seen = {}

    for code in REFUSALS:
        before = kinds.seen(len)
        kinds.answers(fails(code, "no"))
        outcomes = await kinds.call(b"asked")
        seen[code] = {
            kind: (outcomes[kind].code, attempts - before[kind])
            for kind, attempts in kinds.seen(len).items()
        }
    kinds.answers(fails("UNAVAILABLE"), ok(b"again"))
    control = await kinds.call(b"asked")

    expect(
        seen,
        equals={code: alike((code, 1)) for code in REFUSALS},
        what="code of each kind of call and its attempts, by the peer's answer",
    )
    expect(told(control), equals=alike(("OK", (b"again",))), what="the control: UNAVAILABLE first")


@pytest.mark.driven("jittered")
async def test_rty_3_the_codes_are_the_configured_ones(
    driver: Driver, peer: Peer, name: str
) -> None:
    """RTY-3: With retryable_codes of its own a client retries these, and not UNAVAILABLE."""
    seen = {}

    for code in ("ABORTED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"):
        before = len(peer.arrivals)
        peer.answers(fails(code, "no"))
        outcome = await driver.call(name)
        seen[code] = (outcome.code, len(peer.arrivals) - before)

    expect(
        seen,
        equals={
            "ABORTED": ("OK", 2),
            "RESOURCE_EXHAUSTED": ("OK", 2),
            "UNAVAILABLE": ("UNAVAILABLE", 1),
        },
        what="code of a call and its attempts, by the peer's first answer",
    )


@pytest.mark.parametrize("initial", [(), (("x-suite", "first"),)], ids=["nothing", "metadata"])
async def test_rty_7_without_a_message_every_kind_of_call_is_retried(
    kinds: Kinds, initial: tuple[tuple[str, str], ...]
) -> None:
    """RTY-7: A call that failed before its first message is retried, metadata or not."""
    kinds.answers(fails("UNAVAILABLE", initial=initial), ok(b"done"))

    outcomes = await kinds.call(b"asked")

    expect(
        {kind: (outcomes[kind].code, outcomes[kind].payloads, attempts)
         for kind, attempts in kinds.seen(len).items()},
        equals=alike(("OK", (b"done",), 2)),
        what="code and payloads of each kind of call, and its attempts",
    )  # fmt: skip


@pytest.mark.parametrize("messages", [(b"first", b"second"), (b"",)], ids=["two", "empty"])
async def test_rty_7_after_a_message_no_stream_is_retried(
    kinds: Kinds, messages: tuple[bytes, ...]
) -> None:
    """RTY-7: A stream that failed after a message ends so, with what came."""
    kinds.answers(fails("UNAVAILABLE", messages=messages), ok(b"anew"))

    outcomes = await kinds.call(b"asked", kinds=STREAMS)

    attempts = kinds.seen(len)
    expect(
        {kind: (outcomes[kind].code, outcomes[kind].payloads, attempts[kind]) for kind in STREAMS},
        equals=dict.fromkeys(STREAMS, ("UNAVAILABLE", messages, 1)),
        what="code and payloads of each kind of stream, and its attempts",
    )


async def test_rty_8_attempts_are_numbered_and_share_an_id(kinds: Kinds) -> None:
    """RTY-8: Attempts are numbered from 1, and each call has a UUID on all of its attempts."""
    kinds.answers(fails("UNAVAILABLE"), fails("UNAVAILABLE"), ok(b"done"))

    outcomes = await kinds.call(b"asked")

    expect(told(outcomes), equals=alike(("OK", (b"done",))), what="calls that fail twice")
    expect(
        kinds.seen(lambda arrivals: _values(arrivals, "x-retry-attempt")),
        equals=alike([["1"], ["2"], ["3"]]),
        what="x-retry-attempt of each attempt",
    )
    ids = kinds.seen(lambda arrivals: _values(arrivals, "x-request-id"))
    expect(
        {kind: [len(found) for found in each] for kind, each in ids.items()},
        equals=alike([1, 1, 1]),
        what="entries x-request-id of each attempt",
    )
    distinct = {kind: sorted({found for (found,) in each}) for kind, each in ids.items()}
    expect(
        {kind: len(each) for kind, each in distinct.items()},
        equals=alike(1),
        what=f"request IDs of one call ({distinct})",
    )
    found = [str(each) for (each,) in distinct.values()]
    expect(
        [each for each in found if not UUID.fullmatch(each)],
        equals=[],
        what="request IDs that are no UUID",
    )
    expect(len(set(found)), equals=len(KINDS), what=f"request IDs of {len(KINDS)} calls ({found})")


async def test_rty_8_the_callers_own_id_is_kept(kinds: Kinds) -> None:
    """RTY-8: A caller that gives x-request-id finds it on every attempt, and no other."""
    kinds.answers(fails("UNAVAILABLE"), ok(b"done"))

    outcomes = await kinds.call(b"asked", metadata=[("x-request-id", "suite-7")])

    expect(told(outcomes), equals=alike(("OK", (b"done",))), what="calls that fail once")
    expect(
        kinds.seen(
            lambda arrivals: [
                _values(arrivals, name) for name in ("x-request-id", "x-retry-attempt")
            ]
        ),
        equals=alike([[["suite-7"], ["suite-7"]], [["1"], ["2"]]]),
        what="x-request-id and x-retry-attempt of each attempt",
    )


def _requests(arrivals: Sequence[Arrival]) -> list[Any]:
    """Return payloads of each attempt, and metadata that its caller gave."""
    return [(one.payloads, _given(one.metadata)) for one in arrivals]


def _given(metadata: Metadata) -> Metadata:
    """Return the suite's entries, without what the implementation or its library adds."""
    # Stable: entries of one name stay in their order, others have none.
    given = ((name, value) for name, value in metadata if name.startswith("x-suite"))
    return tuple(sorted(given, key=lambda entry: entry[0]))


def _values(arrivals: Sequence[Arrival], name: str) -> list[list[str | bytes]]:
    """Return every value of a metadata entry, by attempt."""
    return [[value for found, value in one.metadata if found == name] for one in arrivals]


def _delays(arrivals: Sequence[Arrival]) -> list[float]:
    """Return the seconds from each answer to the next attempt."""
    return [after.time - (before.answered or 0.0) for before, after in itertools.pairwise(arrivals)]
