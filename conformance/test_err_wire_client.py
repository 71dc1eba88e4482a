"""Chapter 20: broken HTTP/2, as the mesh client meets it (ERR-9)."""

import pytest

from .harness.driver import Driver
from .harness.fixtures_client import Peers
from .harness.forged import SERVERS, Server
from .harness.forged.server import BROKEN, OK, PAYLOAD
from .harness.history import expect_elapsed
from .harness.judging import did, expect
from .harness.memory import watched
from .harness.outcomes import Outcome
from .harness.peer import Peer
from .harness.replies import echo, forged, held

MEMORY = 30
"""MiB by which a client may grow (CONFORMANCE.md, ERR-9): the bombs bring 64."""

NOISE = bytes(range(255, -1, -1)) * 4
"""What is no HTTP/2."""

pytestmark = pytest.mark.driven("pooling")


ASIDE = ("in flight all the while", "begun meanwhile")


@pytest.mark.parametrize("case", SERVERS.values(), ids=SERVERS)
async def test_err_9_a_broken_answer_fails_its_call_alone(
    driver: Driver, peer: Peer, peers: Peers, name: str, case: Server
) -> None:
    """ERR-9: A broken answer fails its own call in time, and costs no more than a bound."""
    healthy = await peers(f"{name}-healthy")
    for one in (peer, healthy):
        before = await driver.call(one.name, b"before", method=case.method)
        expect(
            (*_told(before), len(one.arrivals)),
            equals=("OK", (b"before",), 1),
            what="a call before, and how many arrived",
        )
    healthy.answers(held(echo()))
    in_flight = driver.begin(healthy.name, ASIDE[0].encode(), method="SERVER_STREAM")
    await healthy.arrived(2)

    did(f"the next answer is {case.what} ({case.rule}; taken wrongly, {case.effect})")
    peer.answers(forged(case.name, case.parts, closes=case.closes))
    async with watched(driver.process) as memory:
        outcome = await driver.call(name, b"asked", method=case.method, timeout=case.timeout)
    meanwhile = await driver.call(healthy.name, ASIDE[1].encode())
    healthy.release()
    aside = dict(zip(ASIDE, (await in_flight, meanwhile), strict=True))
    again = await driver.call(name, b"again")

    what = f"a call that is answered with {case.what}"
    expect(outcome.code, one_of=sorted(case.permitted), what=what)
    if outcome.code == OK:
        expect(outcome.payloads, equals=(PAYLOAD,), what=f"payload of {what}")
    expect_elapsed(
        outcome.elapsed,
        since=outcome.since,
        at_most=case.timeout,
        what=f"time to the end of {what}",
    )
    expect(
        {which: _told(one) for which, one in aside.items()},
        equals={which: ("OK", (which.encode(),)) for which in ASIDE},
        what=f"calls of another service, beside {what}",
    )
    expect(_told(again), equals=("OK", (b"again",)), what=f"the next call after {what}")
    expect(memory.growth, at_most=MEMORY, what=f"MiB by which {case.what} makes a client grow")


async def test_err_9_noise_is_no_http_2(driver: Driver, peer: Peer, name: str) -> None:
    """ERR-9: Noise in the place of HTTP/2 fails the call for which it was connected."""
    before = await driver.call(name, b"before")
    expect(_told(before), equals=("OK", (b"before",)), what="a call before")

    peer.greets(NOISE)
    await peer.end_connections()
    noise = await driver.call(name, b"asked")
    peer.greets("normal")
    await peer.end_connections()
    again = await driver.call(name, b"again")

    expect(noise.code, one_of=sorted(BROKEN), what="a call of a server that speaks noise")
    expect(_told(again), equals=("OK", (b"again",)), what="the next call after it")


def _told(outcome: Outcome) -> tuple[str, tuple[bytes, ...]]:
    return outcome.code, outcome.payloads
