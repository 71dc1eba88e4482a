"""Chapter 14: rolling updates (VER-6 to VER-8)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from blackhole.orchestrator.v1 import orchestrator_pb2 as pb

from .harness.addresses import UnixAddress
from .harness.bounds import PROMPT, until
from .harness.driver import Driver
from .harness.judging import did, expect
from .harness.nodes import Node, peer_credentials
from .harness.orchestrator import Orchestrator, Puppet, is_gone, shown, state_of
from .harness.outcomes import Outcome

EVERY = 0.005
"""Seconds from one call to the next: 200 a second (VER-7)."""

PREPARES = 0.4
"""Seconds that a new version takes until it serves."""

UPDATES = 3
"""Updates under load."""


async def test_ver_6_both_versions_are_there_while_an_update_runs(node: Node) -> None:
    """VER-6: While an update runs both versions have their sockets, and both serve."""
    puppet = Puppet(node.directory, "a")
    orchestrator = await _started(node, puppet)
    old, new = node.socket("a@1.0.0"), node.socket("a@1.1.0")
    before = await orchestrator.comes_to("a", "RUNNING")
    expect((before.version, before.unix_socket), equals=("1.0.0", str(old)), what="the old version")

    update = asyncio.create_task(orchestrator.roll("a", "1.1.0", puppet.command("--after", "0.4")))
    await until(
        lambda: UnixAddress(new).accepts(), bound=PREPARES + PROMPT, what="the new version listens"
    )
    info = await orchestrator.get("a")

    expect(update.done(), equals=False, what="whether the update is over by then")
    expect(UnixAddress(old).accepts(), equals=True, what="whether the old version listens by then")
    expect(
        (state_of(info), info.version, info.pid),
        equals=("RUNNING", "1.0.0", before.pid),
        what="(state, version, PID) by then",
    )
    expect(
        (info.successor.version, info.successor.unix_socket),
        equals=("1.1.0", str(new)),
        what="(version, socket) of the successor",
    )
    expect(info.successor.pid, equals=peer_credentials(new)[0], what="PID of the successor")
    after = _ok(await update)
    expect(
        (after.version, after.unix_socket, after.pid, after.HasField("successor")),
        equals=("1.1.0", str(new), info.successor.pid, False),
        what="(version, socket, PID, whether there is a successor) after the update",
    )
    expect(is_gone(before.pid), equals=True, what="whether the old process is gone")
    expect(old.exists(), equals=False, what="whether the old socket is there")
    again = await orchestrator.roll("a", "1.1.0")
    expect(again.code, equals="FAILED_PRECONDITION", what="an update to the version that runs")
    wrong = await orchestrator.roll("a", "one")
    expect(wrong.code, equals="INVALID_ARGUMENT", what="an update to no semantic version")


async def test_ver_7_an_update_under_load_loses_no_call(node: Node) -> None:
    """VER-7: Updates one after the other, under steady load: every call is OK."""
    puppet = Puppet(node.directory, "a")
    orchestrator = await _started(node, puppet)
    driver = await _driver(node)

    async with _load(driver) as outcomes:
        for number in range(1, UPDATES + 1):
            info = _ok(await orchestrator.roll("a", f"1.{number}.0"))
            expect(info.version, equals=f"1.{number}.0", what="the version that runs")

    _expect_all_ok(await outcomes)
    starts = [one.pid for one in puppet.moments("starts")]
    expect(len(starts), equals=UPDATES + 1, what="processes that were started")
    expect([is_gone(pid) for pid in starts[:-1]], equals=[True] * UPDATES, what="old ones are gone")


async def test_ver_8_a_version_that_never_serves_is_rolled_back(node: Node) -> None:
    """VER-8: A version that never serves, or ends, is rolled back; the old one goes on."""
    puppet = Puppet(node.directory, "a")
    orchestrator = await _started(node, puppet, start_timeout="2s")
    driver = await _driver(node)
    before = await orchestrator.comes_to("a", "RUNNING")

    async with _load(driver) as outcomes:
        never = await orchestrator.roll("a", "1.1.0", puppet.command("--never"))
        ends = await orchestrator.roll("a", "1.2.0", puppet.command("--exits", "3"))

    for what, answer in (("never serves", never), ("ends at once", ends)):
        expect(answer.code, equals="ABORTED", what=f"code of an update to a version that {what}")
        expect(bool(answer.message), equals=True, what="whether the reason is told")
    _expect_all_ok(await outcomes)
    after = await orchestrator.get("a")
    expect(
        (after.pid, after.version, state_of(after), after.HasField("successor")),
        equals=(before.pid, "1.0.0", "RUNNING", False),
        what=f"(PID, version, state, whether there is a successor) of {shown(after)}",
    )
    failed = [one.pid for one in puppet.moments("starts")[1:]]
    expect([is_gone(pid) for pid in failed], equals=[True] * 2, what="the new processes are gone")
    expect(
        [name for name in node.leftovers() if name.startswith("a@")],
        equals=["a@1.0.0.sock"],
        what="sockets of the service",
    )
    expect(
        _ok(await orchestrator.roll("a", "1.3.0")).version, equals="1.3.0", what="the next update"
    )


async def _started(node: Node, puppet: Puppet, **settings: str) -> Orchestrator:
    entry = puppet.entry(version="1.0.0")
    return await node.orchestrate({"services": {"a": entry}, "orchestrator": settings})


async def _driver(node: Node) -> Driver:
    return await node.drive({"registry": {"rescan_interval": "0.3s"}, "health": {"interval": "1s"}})


@asynccontextmanager
async def _load(driver: Driver) -> AsyncIterator[asyncio.Future[list[Outcome]]]:
    """Call the service all the while; what is yielded has the outcomes once the block is left."""
    first = await driver.call("a")
    expect(first.code, equals="OK", what="a call before the update")
    calls: list[asyncio.Task[Outcome]] = []
    over = asyncio.Event()
    outcomes: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

    async def call() -> None:
        while not over.is_set():
            calls.append(driver.begin("a"))
            await asyncio.sleep(EVERY)

    calling = asyncio.create_task(call())
    try:
        yield outcomes
    finally:
        over.set()
        await calling
    outcomes.set_result(await asyncio.gather(*calls))


def _expect_all_ok(outcomes: list[Outcome]) -> None:
    codes = Counter((outcome.code, outcome.message) for outcome in outcomes)
    did(f"made {len(outcomes)} calls meanwhile: {dict(codes)}")
    expect(dict(codes), equals={("OK", ""): len(outcomes)}, what="outcomes of the calls meanwhile")


def _ok(answer: Any) -> Any:
    expect((answer.code, answer.message), equals=("OK", ""), what="status of RollService")
    assert isinstance(answer.response, pb.RollServiceResponse)
    return answer.response.service
