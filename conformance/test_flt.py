"""Chapter 26: latency, resets, black holes and outages between client and peer (FLT-1, 2, 3, 6)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import Any

import pytest

from .harness.addresses import HOST, ReservedPort
from .harness.bounds import DEADLINE, PROMPT, until
from .harness.driver import Driver
from .harness.fixtures_faults import WIRES, FaultServers, Links, far_link, healthy, near_link
from .harness.history import expect_elapsed, expect_host
from .harness.judging import expect
from .harness.kinds import KINDS, STREAMS, alike
from .harness.nodes import Node
from .harness.outcomes import Outcome
from .harness.pooling import AT_ONCE, expect_at_once, limit, passes
from .harness.proxied import STREAMS as WAYS
from .harness.proxied import Link
from .harness.remote import remote_caller
from .harness.replies import echo, hangs, held

SHORT = 0.4
"""Seconds of a deadline that comes before whatever is late."""

LATE = 5000
"""Milliseconds of latency beyond it."""

LITTLE = 30
"""Milliseconds of latency that a caller can wait for."""

AFTER = b"afterwards"
"""What is sent once all is well again."""

FIRST = bytes(1000)
"""A message that is seen on its way, by its size."""

BACKOFFS = 0.22
"""Seconds of the three delays between four attempts of the driver called quick."""

HEALING = {
    "retry": {"max_attempts": 1},
    "circuit": {"failure_threshold": 1000},
    "registry": {"rescan_interval": "0.3s"},
    "health": {"interval": "0.3s", "timeout": "1s"},
}
"""The driver of an outage."""

HEALED = 0.5
"""Seconds after which calls of such a driver work: an interval, and time to ask and to connect."""

OUTAGE = 0.5
"""Seconds of an outage: more than each of its intervals."""


async def test_flt_1_latency_beyond_the_deadline_ends_at_the_deadline(
    caller: Driver, links: Links
) -> None:
    """FLT-1: However late the answer or the connection, a call ends at its deadline."""
    known, fresh = await links(), await links()
    async with known.proxy.toxic("latency", latency=LITTLE):
        control = await caller.call(known.name)
    expect(control.code, equals="OK", what="code of a call that is a little late")
    expect_elapsed(control.elapsed, since=control.since, at_least=LITTLE / 1000)
    await fresh.proxy.drop_connections()

    async with (
        known.proxy.toxic("latency", latency=LATE),
        fresh.proxy.toxic("latency", *WAYS, latency=LATE),
    ):
        begun = [caller.begin(known.name, method=kind, timeout=SHORT) for kind in KINDS]
        begun.append(caller.begin(fresh.name, timeout=SHORT))
        outcomes = await asyncio.gather(*begun)
        arrived = (len(known.peer.arrivals), len(fresh.peer.arrivals))

    expect([one.code for one in outcomes], equals=["DEADLINE_EXCEEDED"] * 5, what="codes")
    expect(arrived, equals=(5, 0), what="calls that arrived, where answers and where all are late")
    for outcome in outcomes:
        expect_elapsed(outcome.elapsed, since=outcome.since, at_least=SHORT, at_most=SHORT)
    await _works(caller, known, fresh)


async def test_flt_2_a_reset_connection_is_unavailable(caller: Driver, links: Links) -> None:
    """FLT-2: A call whose connection is reset is UNAVAILABLE at once, and the next one works."""
    seen = {}
    link = await links()
    for way in WAYS:
        before = await caller.call(link.name)
        link.peer.answers(held(echo()))
        arrived = len(link.peer.arrivals)
        begun = caller.begin(link.name)
        await link.peer.arrived(arrived + 1)
        async with link.proxy.toxic("reset_peer", way):
            since = time.monotonic()
            # What is answered is lost in mid-call; what is asked next never arrives.
            link.peer.release()
            cut = await begun
            if way == "upstream":
                expect(cut.code, equals="OK", what="code of a call that nothing happens to")
                since, cut = time.monotonic(), await caller.call(link.name)
        arrived = len(link.peer.arrivals)
        after = await caller.call(link.name)
        seen[way] = (before.code, cut.code, after.code, len(link.peer.arrivals) - arrived)
        expect_elapsed(
            cut.since + cut.elapsed - since, since=since, at_most=AT_ONCE, what="time to its end"
        )

    expect(
        seen,
        equals=dict.fromkeys(WAYS, ("OK", "UNAVAILABLE", "OK", 1)),
        what="codes of the call before, the one that is reset, and the next, with its arrivals",
    )


@pytest.mark.driven("quick")
async def test_flt_2_what_was_reset_is_retried_as_the_policy_has_it(
    driver: Driver, proxied_driver: Links
) -> None:
    """FLT-2: Without an answer a reset call is tried again; a stream that began to come is not."""
    ways = {kind: await proxied_driver() for kind in KINDS}
    began = {kind: await proxied_driver() for kind in STREAMS}
    for link in ways.values():
        link.peer.answers(held(echo()))
    for link in began.values():
        link.peer.answers(hangs(FIRST))
    calls = {kind: driver.begin(link.name, b"asked", method=kind) for kind, link in ways.items()}
    streams = {kind: driver.begin(link.name, method=kind) for kind, link in began.items()}
    for link in (*ways.values(), *began.values()):
        await link.peer.arrived(1)
    for link in began.values():
        await _passed_on(link, len(FIRST))

    for link in ways.values():
        async with link.proxy.toxic("reset_peer"):
            link.peer.release()
            await link.peer.disconnected()
    for link in began.values():
        await link.proxy.drop_connections()

    outcomes = {kind: await call for kind, call in calls.items()}
    expect(
        {kind: (one.code, one.payloads, len(ways[kind].peer.arrivals))
         for kind, one in outcomes.items()},
        equals=alike(("OK", (b"asked",), 2)),
        what="code, payloads and attempts of calls that were reset before an answer came",
    )  # fmt: skip
    ended = {kind: await call for kind, call in streams.items()}
    expect(
        {kind: (one.code, one.payloads, len(began[kind].peer.arrivals))
         for kind, one in ended.items()},
        equals=dict.fromkeys(STREAMS, ("UNAVAILABLE", (FIRST,), 1)),
        what="code, payloads and attempts of streams that were reset after a message came",
    )  # fmt: skip


async def test_flt_3_a_black_hole_is_found_at_the_deadline(caller: Driver, links: Links) -> None:
    """FLT-3: Where all bytes vanish a call ends at its deadline, and the next one works after."""
    answered, asked, fresh = await links(), await links(), await links()
    for link in (answered, asked):
        expect((await caller.call(link.name)).code, equals="OK", what="code of a call before")
    await fresh.proxy.drop_connections()
    answered.peer.answers(held(echo()))
    since = time.monotonic()
    begun = [caller.begin(answered.name, timeout=SHORT)]
    await answered.peer.arrived(2)
    expect_host(
        holds=time.monotonic() - since < SHORT / 2, since=since, spare=SHORT / 4,
        what="the call arrived in time",
    )  # fmt: skip

    async with (
        answered.proxy.toxic("timeout"),
        asked.proxy.toxic("timeout", "upstream"),
        fresh.proxy.toxic("timeout", *WAYS),
    ):
        answered.peer.release()
        begun += [caller.begin(link.name, timeout=SHORT) for link in (asked, fresh)]
        outcomes = await asyncio.gather(*begun)

    expect([one.code for one in outcomes], equals=["DEADLINE_EXCEEDED"] * 3, what="codes")
    for outcome in outcomes:
        expect_elapsed(outcome.elapsed, since=outcome.since, at_least=SHORT, at_most=SHORT)
    await _works(caller, answered, asked, fresh)


@pytest.mark.driven("pinging")
async def test_flt_3_a_black_hole_is_found_by_pings(driver: Driver, proxied_driver: Links) -> None:
    """FLT-3: A call ends long before its deadline, because pings vanish too, or the connect."""
    patience = limit(driver, "connect_timeout")
    most = limit(driver, "keep_alive") + patience
    known, fresh = await proxied_driver(), await proxied_driver()
    known.peer.answers(echo(), hangs())
    before = await driver.call(known.name)
    expect(before.code, equals="OK", what="code of a call before")
    begun = driver.begin(known.name, method="SERVER_STREAM", timeout=most + DEADLINE)
    await known.peer.arrived(2)

    vanished = time.monotonic()
    async with (
        known.proxy.toxic("timeout", *WAYS),
        fresh.proxy.toxic("timeout", *WAYS),
    ):
        dialled = await driver.call(fresh.name, timeout=most + DEADLINE)
        cut = await begun
    expect([dialled.code, cut.code], equals=["UNAVAILABLE"] * 2, what="codes")
    expect_elapsed(
        dialled.elapsed, since=dialled.since, at_least=patience, at_most=patience,
        what="time of a call that finds no connection",
    )  # fmt: skip
    expect_elapsed(
        cut.since + cut.elapsed - vanished, since=vanished, at_most=most,
        what="time from the black hole to the end of the call in flight",
    )  # fmt: skip
    await _works(driver, known, fresh)


@pytest.mark.parametrize("wire", WIRES)
async def test_flt_6_an_outage_fails_fast_and_heals(
    node: Node, fault_servers: FaultServers, wire: str
) -> None:
    """FLT-6: While nobody listens calls fail at once; once somebody does they work in time."""
    async with _healing(node, fault_servers, wire) as (driver, link):
        await healthy(driver, link)
        before = await driver.call(link.name)
        link.peer.answers(held(echo()))
        begun = driver.begin(link.name)
        await link.peer.arrived(2)
        expect(before.code, equals="OK", what="code of a call before")

        own: dict[str, Any] = {"unlink": False} if wire == "unix" else {}
        async with link.proxy.down(**own):
            down = time.monotonic()
            cut = await begun
            outcomes = []
            while time.monotonic() - down < OUTAGE:
                outcomes.append(await driver.call(link.name))
                await passes(OUTAGE / 10)
        up = time.monotonic()

        expect_elapsed(
            cut.since + cut.elapsed - down, since=down, at_most=AT_ONCE,
            what="time from the outage to the end of the call in flight",
        )  # fmt: skip
        expect(
            {cut.code, *(one.code for one in outcomes)}, equals={"UNAVAILABLE"},
            what="codes of the call in flight and of those during the outage",
        )  # fmt: skip
        expect_at_once(*outcomes)
        healed = await _until_ok(driver, link, bound=HEALED + PROMPT)
        expect_elapsed(
            healed.since - up, since=up, at_most=HEALED,
            what="time from the end of the outage to a call that works",
        )  # fmt: skip
        await _works(driver, link)


@asynccontextmanager
async def _healing(
    node: Node, fault_servers: FaultServers, wire: str
) -> AsyncIterator[tuple[Driver, Link]]:
    """Give a driver, and a way to a peer that it calls, which may be down."""
    async with AsyncExitStack() as rest:
        if wire == "tcp":
            port = rest.enter_context(closing(ReservedPort()))
            link = await far_link(node, fault_servers.get("tcp"), port.number)
            rest.push_async_callback(link.proxy.close)
            services = {link.name: {"tcp": {"host": HOST, "port": link.proxy.port}}}
            tls = remote_caller(node.directory).settings
            driver = await node.drive(HEALING | {"tls": tls, "services": services})
        else:
            driver = await node.drive(HEALING)
            link = await near_link(node, fault_servers.get("unix"))
            rest.push_async_callback(link.proxy.close)
        yield driver, link


async def _works(driver: Driver, *links: Link) -> None:
    """Make sure that calls reach their peers again, and come back.

    Whose connection was closed just now may learn of it by a call.
    """
    for link in links:
        found = await _until_ok(driver, link, bound=PROMPT)
        expect(found.payloads, equals=(AFTER,), what=f"payload of a call of {link.name} afterwards")
        expect(link.peer.arrivals[-1].payloads, equals=(AFTER,), what="payload that arrived")


async def _until_ok(driver: Driver, link: Link, *, bound: float) -> Outcome:
    """Call again and again, and return the first call that is OK."""
    made: list[Outcome] = []

    async def works() -> bool:
        made.append(await driver.call(link.name, AFTER))
        return made[-1].code == "OK"

    await until(works, bound=bound, what=f"a call of {link.name} is OK again", seen=lambda: made)
    return made[-1]


async def _passed_on(link: Link, size: int) -> None:
    """Wait until a peer's answer of some size is beyond the proxy."""

    async def passed() -> bool:
        return await link.proxy.sent("downstream") >= size

    await until(passed, bound=PROMPT, what="the first message passes the proxy")
