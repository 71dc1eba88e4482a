"""Chapter 5: what the registry tells of an endpoint (REG-7)."""

import os
import time
from typing import Any

from blackhole.conformance.v1 import driver_pb2 as pb

from .harness import bounds
from .harness.driver import Driver
from .harness.fixtures_client import DRIVEN
from .harness.health import NOT_SERVING, SERVING
from .harness.history import LATE, ROUNDING
from .harness.judging import expect
from .harness.nodes import Node
from .harness.peer import Peer
from .harness.registry import state_of
from .harness.replies import hangs
from .harness.service import seconds

FOUND = 1.0 + LATE + bounds.PROMPT
"""Seconds after which a new socket is known and its health asked: the default rescan_interval."""

OFTEN = "0.05s"
"""The `health.interval` of drivers whose endpoints change."""

RECHECKED = seconds(OFTEN) + bounds.PROMPT
"""Seconds after which a change of a peer's health is known there."""

THRESHOLD = 3
"""Failed checks in a row that make an endpoint unhealthy, as a driver of its own is told."""


async def test_reg_7_an_endpoint_tells_what_is_known(node: Node) -> None:
    """REG-7: An endpoint has name, version, address, state, last check and metadata."""
    port = await node.peer("port", at=0)
    zone, empty = {"zone": "eu-1", "größe": "☃"}, {"empty": ""}
    driver = await node.drive(
        {
            "health": {"interval": "30s", "timeout": "20s"},
            "services": {
                "shown": {"metadata": zone},
                "port": {"tcp": {"port": port.port}, "version": "2.0.0", "metadata": empty},
            },
        }
    )

    async with driver.watch() as registry, Peer(node.socket("mute")) as mute:
        mute.health = hangs()
        shown = await node.peer("shown", "1.2.0")
        await registry.seen(
            lambda _: (
                [registry.state(name) for name in ("mute", "port", "shown")]
                == ["UNSPECIFIED", "HEALTHY", "HEALTHY"]
            ),
            bound=FOUND,
            what="the list holds all, and those that answer as healthy",
        )
        told = {one.name: one for one in registry.endpoints if one.name != driver.NAME}
    now = time.time()

    expect(
        {name: _whole(endpoint) for name, endpoint in told.items()},
        equals={
            "mute": ("", str(mute.path), "", "UNSPECIFIED", {}, False),
            "port": ("2.0.0", "", f"localhost:{port.port}", "HEALTHY", empty, True),
            "shown": ("1.2.0", str(shown.path), "", "HEALTHY", zone, True),
        },
        what="version, path, port, state, metadata of each, and whether it was checked",
    )
    for peer, name in ((shown, "shown"), (port, "port")):
        at = told[name].last_check.ToNanoseconds() / 1e9
        expect(at, at_least=_answered(peer, 0) - ROUNDING, at_most=now, what="its last check")
        expect(told[name].pid, one_of=(0, os.getpid()), what="PID of who listens there")


async def test_reg_7_state_and_last_check_are_kept_up_to_date(node: Node) -> None:
    """REG-7: State and last check follow what the endpoint answers."""
    driver, name = await _checking(node), "changing"
    peer = await node.peer(name)
    await driver.finds(name)

    async with driver.watch() as registry:
        await registry.becomes(name, "HEALTHY", bound=RECHECKED)
    before = len(peer.checks)
    await bounds.until(
        lambda: len(peer.checks) > before + 1, bound=2 * RECHECKED, what="two more checks"
    )

    async with driver.watch() as registry:
        (endpoint,) = registry.of(name)
        peer.health = NOT_SERVING
        await registry.becomes(name, "UNHEALTHY", bound=RECHECKED)
        peer.health = SERVING
        await registry.becomes(name, "HEALTHY", bound=RECHECKED)
        await peer.close(leave=True)
        await registry.becomes(name, "UNHEALTHY", bound=RECHECKED)
    peer.path.unlink()

    expect(
        endpoint.last_check.ToNanoseconds() / 1e9,
        at_least=_answered(peer, before) - ROUNDING,
        what="last check after another one was answered",
    )


async def test_reg_7_failures_are_counted_to_the_threshold(node: Node) -> None:
    """REG-7: A healthy endpoint is unhealthy after failure_threshold failed checks in a row."""
    driver = await _checking(node, failure_threshold=THRESHOLD)
    peer = await node.peer("flaky")

    async with driver.watch() as registry:
        await registry.becomes("flaky", "HEALTHY", bound=FOUND)
        # What was not answered yet may be answered so too.
        passed = sum(check.answered is not None for check in peer.checks)
        peer.health = NOT_SERVING
        await registry.becomes("flaky", "UNHEALTHY", bound=THRESHOLD * RECHECKED)
        failed = len(peer.checks) - passed

    expect(failed, at_least=THRESHOLD, what="failed checks before it was unhealthy")


async def _checking(node: Node, **health: Any) -> Driver:
    """Start a driver that asks often for health."""
    health = {**DRIVEN["quick"]["health"], "interval": OFTEN, **health}
    return await node.drive({**DRIVEN["quick"], "health": health})


def _whole(one: pb.Endpoint) -> tuple[Any, ...]:
    """Return all of an endpoint that is not a matter of time."""
    checked = one.HasField("last_check")
    return one.version, one.socket_path, one.tcp_address, state_of(one), dict(one.metadata), checked


def _answered(peer: Peer, number: int) -> float:
    """Return when a health check was answered, in seconds since the epoch."""
    answered = peer.checks[number].answered
    assert answered is not None
    return answered + time.time() - time.monotonic()
