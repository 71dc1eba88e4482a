"""Chapter 15: how a connection is kept, made and closed, as peers see it (POOL-6 to POOL-10)."""

import asyncio
import itertools
import time

import pytest

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.bounds import DEADLINE, PROMPT, until
from .harness.driver import Driver
from .harness.fixtures_client import Peers
from .harness.history import expect_elapsed, expect_host
from .harness.identity import SERVICE, Identity
from .harness.judging import expect
from .harness.nodes import Node
from .harness.outcomes import call_request
from .harness.peer import Peer
from .harness.pooling import answered, expect_at_once, limit, passes
from .harness.raw import RawConnection
from .harness.replies import echo, hangs, held

pytestmark = pytest.mark.driven("pinging")

BAD_GREETINGS: dict[str, str | bytes] = {
    "closes at once": "closing",
    "speaks HTTP/1.1": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "speaks TLS": b"\x15\x03\x01\x00\x02\x02\x46\x15\x03\x01\x00\x02\x01\x00",
    "sends no frames": bytes(range(256)),
    "begins without SETTINGS": b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8),
}
"""What peers that are no HTTP/2 server do when they are connected to."""

HALF_OF_SETTINGS = b"\x00\x00\x00\x04\x00"
"""Five of the nine bytes of an empty SETTINGS frame."""

PINGS = 10
"""Pings in a row without a call between them; gRPC's servers send away at the third."""

PACE = 0.005
"""Seconds between these: no default allows more than one in 10 s."""

CLOSED = {
    # A dial may go on after Close, which gRPC C-core has no means to end, but no longer than this.
    "pool": {"max_conns": 2, "connect_timeout": "0.4s"},
    "health": {"interval": "10s"},
}
"""The driver that is closed."""


async def test_pool_6_an_idle_connection_is_kept_alive(
    driver: Driver, peers: Peers, name: str
) -> None:
    """POOL-6: Without a call and with one, a connection is pinged each keep_alive."""
    each = limit(driver, "keep_alive")
    idle, busy = await peers(f"{name}-idle"), await peers(f"{name}-busy")
    asked = time.monotonic()
    busy.answers(held(echo()))
    call = driver.begin(busy.name, method="SERVER_STREAM", timeout=3 * each + DEADLINE)
    await busy.arrived(1)
    before = await driver.call(idle.name)
    expect(before.code, equals="OK", what="code of a call before")
    begun = {idle: answered(idle), busy: busy.arrivals[0].time}

    for peer, since in begun.items():
        pings = await _pinged(peer, since, each)
        for count, (last, ping) in enumerate(itertools.pairwise([since, *pings]), 1):
            what = f"time to ping {count} of the {peer.name.rpartition('-')[2]} connection"
            expect_elapsed(
                ping - last, since=last, at_most=each, what=f"{what}, from what was last"
            )
            expect_elapsed(
                ping - asked, since=asked, at_least=count * each, what=f"{what}, from the beginning"
            )
    busy.release()
    outcomes = [await call, await driver.call(idle.name)]

    expect([one.code for one in outcomes], equals=["OK", "OK"], what="codes of the calls")
    calls = [await peer.calls_by_connection() for peer in (idle, busy)]
    _expect_pongs(driver, asked, holds=calls == [[2], [1]])
    expect(calls, equals=[[2], [1]], what="calls by connection")


async def test_pool_7_a_peer_that_answers_no_pings_is_found_dead(
    driver: Driver, peers: Peers, name: str
) -> None:
    """POOL-7: Without a call and with one, silence ends a connection once a ping is overdue."""
    least = limit(driver, "connect_timeout")
    most = limit(driver, "keep_alive") + least
    lively, idle, busy = [await peers(f"{name}-{what}") for what in ("lively", "idle", "busy")]
    busy.answers(hangs())
    begun = time.monotonic()
    call = driver.begin(busy.name, method="SERVER_STREAM", timeout=most + DEADLINE)
    await busy.arrived(1)
    before = [await driver.call(peer.name) for peer in (lively, idle)]
    expect([one.code for one in before], equals=["OK", "OK"], what="codes of calls before")
    # What a client asks right after data came is answered still.
    await idle.settled()

    muted = time.monotonic()
    idle.mute()
    busy.mute()
    for peer in (idle, busy):
        await peer.disconnected(bound=most)
    cut = await call

    for peer in (idle, busy):
        (connection,) = peer.connections
        expect(connection.ended_by, equals="client", what=f"who closed it, {peer.name}")
        expect_elapsed(
            (connection.closed or 0.0) - muted, since=muted, at_least=least, at_most=most,
            what=f"time from the silence of {peer.name} to the end of the connection",
        )  # fmt: skip
    expect(cut.code, equals="UNAVAILABLE", what="code of the call in flight")
    expect_elapsed(
        cut.since + cut.elapsed - muted, since=muted, at_most=most, what="time to its end"
    )
    await busy.close()
    back = await peers(busy.name)
    after = [await driver.call(peer.name) for peer in (lively, back)]
    expect([one.code for one in after], equals=["OK", "OK"], what="codes of calls after")
    calls = await lively.calls_by_connection()
    _expect_pongs(driver, begun, holds=calls == [2])
    expect(calls, equals=[2], what="calls where pings are answered")


async def test_pool_8_a_connect_ends_at_connect_timeout(
    driver: Driver, peers: Peers, name: str
) -> None:
    """POOL-8: A connect that does not complete is UNAVAILABLE at connect_timeout, and ends."""
    patience = limit(driver, "connect_timeout")
    slow, silent, half = [await peers(f"{name}-{what}") for what in ("slow", "silent", "half")]
    for peer in (slow, silent, half):
        await peer.checked()
    slow.greets("normal", after=patience / 4)
    silent.greets("silent")
    half.greets(HALF_OF_SETTINGS)
    since = time.monotonic()

    control, *failed = await asyncio.gather(
        *(driver.call(peer.name) for peer in (slow, silent, half))
    )

    expect_host(
        holds=control.code == "OK", since=since, spare=patience / 2, what="the slow one in time"
    )
    expect((control.code, len(slow.arrivals)), equals=("OK", 1), what="a call of the slow one")
    for peer, outcome in zip((silent, half), failed, strict=True):
        expect(outcome.code, equals="UNAVAILABLE", what=f"code of a call of {peer.name}")
        expect_elapsed(
            outcome.elapsed, since=outcome.since, at_least=patience, at_most=patience,
            what=f"time of a call of {peer.name}",
        )  # fmt: skip
        await peer.disconnected()
        peer.greets("normal")
        after = await driver.call(peer.name)
        expect((after.code, len(peer.arrivals)), equals=("OK", 1), what=f"{peer.name}, afterwards")
        expect_at_once(after)


async def test_pool_8_who_speaks_no_http_2_is_unavailable(
    driver: Driver, peers: Peers, name: str
) -> None:
    """POOL-8: A peer that refuses, or is no HTTP/2 server, is UNAVAILABLE; the client lives on."""
    patience = limit(driver, "connect_timeout")
    bad = {what: await peers(f"{name}-{n}") for n, what in enumerate(BAD_GREETINGS)}
    for what, peer in bad.items():
        await peer.checked()
        peer.greets(BAD_GREETINGS[what])

    outcomes = await asyncio.gather(*(driver.call(peer.name) for peer in bad.values()))
    for peer in bad.values():
        peer.greets("normal")
    later = [await driver.call(peer.name) for peer in bad.values()]

    expect(
        dict(zip(bad, (one.code for one in outcomes), strict=True)),
        equals=dict.fromkeys(bad, "UNAVAILABLE"),
        what="code of a call, by what the peer does",
    )
    for what, outcome in zip(bad, outcomes, strict=True):
        expect_elapsed(
            outcome.elapsed, since=outcome.since, at_most=patience, what=f"time where it {what}"
        )
    expect(
        {what: (one.code, len(bad[what].arrivals)) for what, one in zip(bad, later, strict=True)},
        equals=dict.fromkeys(bad, ("OK", 1)),
        what="code and arrivals of a call afterwards",
    )
    expect_at_once(*later)


async def test_pool_9_who_pings_often_is_not_sent_away(identity: Identity) -> None:
    """POOL-9: Pings are answered without a call and with one, and GOAWAY never comes."""
    pings = [number.to_bytes(8, "big") for number in range(2 * PINGS)]
    async with RawConnection(identity.address) as connection:
        for ping in pings[:PINGS]:
            await connection.ping(ping)
            await passes(PACE)
        call = await connection.hold(f"/{SERVICE}/CreateDID", pb.CreateDIDRequest(method="key"))
        for ping in pings[PINGS:]:
            await connection.ping(ping)
            await passes(PACE)
        answer = await call.release()

        expect(
            (connection.goaway, connection.closed), equals=(False, False),
            what="whether GOAWAY came, and whether the connection was closed",
        )  # fmt: skip
        expect(connection.pongs, equals=pings, what="answers to the pings")
        expect(answer.grpc_status, equals="0", what="grpc-status of the call in flight meanwhile")


async def test_pool_10_close_closes_every_connection(node: Node) -> None:
    """POOL-10: Close closes connections that are idle, in use, and being made; none follows."""
    driver = await node.drive(CLOSED)
    idle, busy, dialled = [await node.peer(name) for name in ("idle", "busy", "dialled")]
    for peer in (idle, busy, dialled):
        await driver.finds(peer.name)
        await peer.checked()
    before = await driver.call("idle")
    busy.otherwise = hangs()
    calls = [driver.begin("busy") for _ in range(2)]
    await busy.arrived(2)
    expect(before.code, equals="OK", what="code of a call before")
    expect(
        [len(peer.open_connections) == len(await peer.settled()) for peer in (idle, busy)],
        equals=[True, True],
        what="whether all connections are open before",
    )
    dialled.greets("silent")
    calls.append(driver.begin("dialled"))
    await dialled.connected()

    await driver.close()
    for peer in (idle, busy):
        await peer.disconnected()
    await dialled.disconnected(bound=limit(driver, "connect_timeout"))
    later = await driver.ask("Call", call_request("idle"))

    expect(
        # The registry looks on at who is there: what has only just been opened may be its own.
        {one.ended_by for peer in (idle, busy, dialled) for one in await peer.settled()},
        equals={"client"},
        what="who closed the connections",
    )
    for outcome in await asyncio.gather(*calls):
        # Whether the client gave up its call, or lost its connection, is a matter of wording.
        expect(outcome.code, one_of=["CANCELLED", "UNAVAILABLE"], what="code of a call in flight")
    expect(
        (later.code, later.message),
        equals=("FAILED_PRECONDITION", "the client is closed"),
        what="a call afterwards",
    )
    expect(await idle.calls_by_connection(), equals=[1], what="calls by connection")


def _expect_pongs(driver: Driver, since: float, *, holds: bool) -> None:
    """Make sure that the host let the suite answer pings before a client had to give up on it."""
    expect_host(
        holds=holds, since=since, spare=0.8 * limit(driver, "connect_timeout"),
        what="every ping answered in time",
    )  # fmt: skip


async def _pinged(peer: Peer, since: float, each: float) -> list[float]:
    """Wait for two pings, and return all; those right after a call measure its bandwidth."""

    def pings() -> list[float]:
        return [ping for one in peer.connections for ping in one.pings if ping > since + each / 2]

    await until(
        lambda: len(pings()) >= 2,
        bound=2 * each + PROMPT,
        what=f"two pings of {peer.name}",
        seen=lambda: peer.connections,
    )
    return pings()
