"""Chapter 15: how many connections a client makes, and keeps (POOL-1 to POOL-5)."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from .harness.arrivals import Connection
from .harness.bounds import DEADLINE, until
from .harness.driver import Driver
from .harness.fixtures_client import Peers
from .harness.judging import expect
from .harness.kinds import KINDS
from .harness.peer import Peer
from .harness.pooling import (
    SEVERAL,
    answered,
    expect_at_once,
    expect_closed,
    expect_used,
    limit,
    passes,
)
from .harness.replies import PING, echo, hangs, held

pytestmark = pytest.mark.driven("pooling")

DEFAULT = pytest.mark.driven("jittered")
"""The driver with the default pool: one connection, and 5 s for a connect or a ping. It does not
retry what is UNAVAILABLE."""

ROOMY = pytest.mark.driven("quick")
"""The driver that may open three connections, and lets them idle for minutes."""

CALLS = 1000
"""Calls that come over one connection."""

SERIAL = 100
"""Of them, those that are made one after the other."""

CALLERS = 64
"""First callers at once."""

DIAL = 3.0
"""Seconds that a dial would last if all callers did not come before; `connect_timeout` is 5 s."""

MANY = 40
"""Calls in flight at once, over ten times as many as `max_conns`."""

SLOW_GREETING = 0.05
"""Seconds of a dial during which further calls come; `connect_timeout` is 5 s."""

BREAKS = SEVERAL
"""Times that a connection breaks: so many calls tell a backoff from a busy host."""


@DEFAULT
async def test_pool_1_a_thousand_calls_share_a_connection(
    driver: Driver, peer: Peer, name: str
) -> None:
    """POOL-1: 1,000 calls of all kinds, in a row and at once, come over one connection."""
    outcomes = [
        await driver.call(name, PING, method=method)
        for method in itertools.islice(itertools.cycle(KINDS), SERIAL)
    ]
    expect(await peer.calls_by_connection(), equals=[SERIAL], what="calls by connection, so far")

    while len(outcomes) < CALLS:
        outcomes += await asyncio.gather(*(driver.call(name) for _ in range(SERIAL)))

    expect(
        {(one.code, one.payloads) for one in outcomes},
        equals={("OK", (PING,))},
        what="outcomes of the calls",
    )
    expect(await peer.calls_by_connection(), equals=[CALLS], what="calls by connection")


@ROOMY
async def test_pool_1_an_idle_connection_is_taken_first(
    driver: Driver, peer: Peer, name: str
) -> None:
    """POOL-1: Where more connections are allowed, none is opened while one has no call."""
    outcomes = [await driver.call(name) for _ in range(SERIAL)]

    expect({one.code for one in outcomes}, equals={"OK"}, what="codes of the calls")
    expect(await peer.calls_by_connection(), equals=[SERIAL], what="calls by connection")


@DEFAULT
async def test_pool_2_first_callers_share_one_dial(driver: Driver, peers: Peers, name: str) -> None:
    """POOL-2: 64 first callers at once open one connection, and all calls come over it."""
    peer = await peers(name, greet_after=DIAL)
    payloads = [str(number).encode() for number in range(CALLERS)]

    callers = [driver.begin(name, payload) for payload in payloads]
    await peer.connected(bound=DEADLINE)
    # It comes after them on the same connection to the driver.
    await driver.resolve(name)
    peer.greet()
    outcomes = await asyncio.gather(*callers)

    expect(
        [(one.code, one.payloads) for one in outcomes],
        equals=[("OK", (payload,)) for payload in payloads],
        what="outcomes of the calls",
    )
    await peer.checked()
    expect(await peer.calls_by_connection(), equals=[CALLERS], what="calls by connection")


@DEFAULT
async def test_pool_3_a_connection_that_is_cut_is_replaced(
    driver: Driver, peer: Peer, name: str
) -> None:
    """POOL-3: A call on a connection that is cut ends; the next one opens another, and works."""
    await peer.checked()
    before = await driver.call(name)
    expect(before.code, equals="OK", what="code of a call before")

    after = []
    for number in range(1, BREAKS + 1):
        peer.answers(hangs())
        begun = driver.begin(name)
        await peer.arrived(2 * number)
        expect(
            await peer.calls_by_connection(),
            equals=[2] * number,
            what="calls by connection, so far",
        )
        await peer.drop_connections()
        expect((await begun).code, equals="UNAVAILABLE", what="code of the call in flight")
        after.append(await driver.call(name))
        expect(
            (after[-1].code, after[-1].payloads),
            equals=("OK", (PING,)),
            what="outcome of the next call",
        )

    expect_at_once(*after)
    expect(await peer.calls_by_connection(), equals=[*[2] * BREAKS, 1], what="calls by connection")


@DEFAULT
async def test_pool_3_a_connection_that_ended_idle_is_not_used(
    driver: Driver, peer: Peer, name: str
) -> None:
    """POOL-3: Where the peer ended an idle connection, the next call opens another at once."""
    await peer.checked()
    outcomes = []

    for number in range(1, BREAKS + 2):
        outcomes.append(await driver.call(name))
        expect(outcomes[-1].code, equals="OK", what=f"code of the call on connection {number}")
        expect(await peer.calls_by_connection(), equals=[1] * number, what="calls by connection")
        await peer.end_connections()

    expect_at_once(*outcomes[1:])


@DEFAULT
async def test_pool_3_a_peer_that_was_away_is_called_again(
    driver: Driver, peers: Peers, peer: Peer, name: str
) -> None:
    """POOL-3: Calls work as soon as a peer is back, without a restart of the client."""
    await peer.checked()
    before = await driver.call(name)
    expect((before.code, len(peer.arrivals)), equals=("OK", 1), what="a call before it goes")

    away, back = [], []
    for _ in range(BREAKS):
        await peer.close(leave=True)
        away.append(await driver.call(name))
        peer = await peers(name)
        back.append((await driver.call(name), len(peer.arrivals)))

    expect(
        [one.code for one in away],
        equals=["UNAVAILABLE"] * BREAKS,
        what="codes of calls while it is away",
    )
    expect(
        [(one.code, arrived) for one, arrived in back],
        equals=[("OK", 1)] * BREAKS,
        what="calls once it is back, and what arrives",
    )
    expect_at_once(*(one for one, _ in back))


async def test_pool_4_an_idle_connection_is_closed(driver: Driver, peers: Peers, name: str) -> None:
    """POOL-4: A connection is closed idle_timeout after its last call, and not while it has one."""
    patience = limit(driver, "idle_timeout")
    idle, again, busy = [await peers(f"{name}-{what}") for what in ("idle", "again", "busy")]
    busy.answers(held(echo()))
    call = driver.begin(busy.name)
    await busy.arrived(1)
    outcomes = [await driver.call(one.name) for one in (idle, again)]
    expect([one.code for one in outcomes], equals=["OK", "OK"], what="codes of the first calls")

    await passes(patience / 4)
    await driver.call(again.name)
    expect_used(again, since=answered(again, 0), within=patience)
    await idle.disconnected(bound=patience)
    after = await driver.call(idle.name)
    await again.disconnected(bound=patience)
    expect([one.ended_by for one in busy.connections], equals=[""], what="ends of the busy one")
    busy.release()

    expect((await call).code, equals="OK", what="code of the call in flight meanwhile")
    expect_closed(idle, since=answered(idle, 0), after=patience)
    expect_closed(again, since=answered(again, 1), after=patience)
    expect(after.code, equals="OK", what="code of the next call")
    expect(
        [await peer.calls_by_connection() for peer in (idle, again, busy)],
        equals=[[1, 1], [2], [1]],
        what="calls by connection",
    )


async def test_pool_5_never_more_than_max_conns(driver: Driver, peer: Peer, name: str) -> None:
    """POOL-5: However many calls are in flight, max_conns connections are open at most."""
    settings = driver.settings["pool"]
    most, most_idle = settings["max_conns"], settings["max_idle_conns"]
    before = await driver.call(name)
    expect((before.code, await peer.calls_by_connection()), equals=("OK", [1]), what="a call alone")

    peer.greets("normal", after=SLOW_GREETING)
    peer.otherwise = held(echo())
    calls = [driver.begin(name) for _ in range(MANY)]
    await peer.arrived(1 + MANY)
    peer.release(MANY // 2)
    calls += [driver.begin(name) for _ in range(MANY)]
    await peer.arrived(1 + 2 * MANY)
    await peer.settled()
    peer.release()
    outcomes = await asyncio.gather(*calls)

    expect({one.code for one in outcomes}, equals={"OK"}, what="codes of the calls")
    expect(_most_open(peer.connections), at_most=most, what="connections open at once")
    await until(
        lambda: len(peer.open_connections) <= most_idle,
        bound=limit(driver, "idle_timeout") / 2,
        what=f"no more than {most_idle} idle connections stay open",
        seen=lambda: peer.connections,
    )


async def test_pool_5_never_more_idle_ones_than_max_idle_conns(
    driver: Driver, peers: Peers, name: str
) -> None:
    """POOL-5: Of idle connections over all services, the longest idle are closed at once."""
    patience = limit(driver, "idle_timeout")
    a, b, c, d = [await peers(f"{name}-{letter}") for letter in "abcd"]
    few = [await driver.call(peer.name) for peer in (a, b, a)]
    expect({one.code for one in few}, equals={"OK"}, what="codes of the first calls")
    expect_used(a, since=answered(a, 0), within=patience)
    expect(
        [await peer.calls_by_connection() for peer in (a, b)],
        equals=[[2], [1]],
        what="calls by connection, with as many connections as may idle",
    )

    more = [await driver.call(peer.name) for peer in (c, d)]
    for peer, older in ((c, b), (d, a)):
        expect_used(peer, since=answered(older), within=patience)
    for peer in (a, b, c, d):
        await peer.disconnected(bound=patience)

    expect({one.code for one in more}, equals={"OK"}, what="codes of the further calls")
    expect_closed(b, since=answered(c), after=0.0)
    expect_closed(a, since=answered(d), after=0.0)
    for peer in (c, d):
        expect_closed(peer, since=answered(peer), after=patience)


def _most_open(connections: Sequence[Connection]) -> int:
    """Return how many were open at once, at the moment when there were most."""
    return max(
        sum(
            other.opened <= one.opened and (other.closed is None or other.closed > one.opened)
            for other in connections
        )
        for one in connections
    )
