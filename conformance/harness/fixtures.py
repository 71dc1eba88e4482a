"""The words that tests are written in."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from . import bounds, judge
from .identity import Identity
from .judging import NonConformance, attach, did, not_run, untestable
from .nodes import Node, peer_credentials
from .options import ATTACHED, WORKDIR
from .starvation import STARVATION

TRANSPORTS = ("unix",)
"""Transports that every service-side requirement runs on."""

_SETTLE = 2.0
"""Seconds for gRPC to give back the descriptors of a channel that was closed; seen: 0.1."""

_OWN_DESCRIPTORS = 8
"""Descriptors that gRPC may keep for itself once a first channel was made."""


SHARED: list[Node] = []
"""Nodes that are started when a test first needs them, and serve until the session ends."""


@pytest.fixture(scope="session", autouse=True)
async def jitter() -> AsyncIterator[bounds.HostJitter]:
    """Measure how late this host wakes a sleeper, and go on watching it."""
    await bounds.JITTER.measure()
    watching = asyncio.create_task(bounds.JITTER.watch())
    yield bounds.JITTER
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


@pytest.fixture(scope="session", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """How the service under test is reached."""
    return str(request.param)


@pytest.fixture
async def node(request: pytest.FixtureRequest, transport: str) -> AsyncIterator[Node]:
    """Directories and a configuration of the test's own, to start processes with."""
    del transport
    if request.config.stash[ATTACHED]:
        not_run("attached: the suite cannot start or restart a service that the user started")
    node = node_of(request.config)
    yield node
    await node.close()


@pytest.fixture(scope="session")
async def control_problem(request: pytest.FixtureRequest) -> Exception | None:
    """What kept the service from starting and stopping once; None when nothing did."""
    if request.config.stash[ATTACHED]:
        return None
    node = node_of(request.config)
    try:
        await (await node.start()).stop()
    except NonConformance as problem:
        return problem
    finally:
        await node.close()
    return None


@pytest.fixture
def control(node: Node, control_problem: Exception | None) -> Node:
    """A node with whose settings the service starts and stops: the control of a refused start."""
    if control_problem is not None:
        untestable(f"the control does not start and stop: {control_problem}")
    did("the control started and stopped")
    return node


@pytest.fixture(scope="session")
async def shared_identity(
    request: pytest.FixtureRequest, transport: str
) -> AsyncIterator[Identity | Exception]:
    """One running identity service for all tests that destroy nothing."""
    del transport
    if attached := request.config.stash[ATTACHED].get("identity"):
        service = Identity(attached, None, bounds.DEADLINE)
        yield service
        await service.hang_up()
        return
    node = node_of(request.config)
    try:
        yield await node.start()
    except NonConformance as problem:
        yield problem
    await node.close()


@pytest.fixture
async def identity(shared_identity: Identity | Exception) -> AsyncIterator[Identity]:
    """A running identity service that served before the test, and must serve after it."""
    if isinstance(shared_identity, Exception):
        untestable(f"the service does not start: {shared_identity}")
    try:
        await shared_identity.lives()
    except NonConformance as problem:
        untestable(f"the service does not serve: {problem}")
    before = peer_credentials(shared_identity.path)
    if shared_identity.has_process:
        attach("service.txt", shared_identity.process.story)

    yield shared_identity

    await shared_identity.hang_up(keep=shared_identity.channel)
    await shared_identity.lives()
    after = peer_credentials(shared_identity.path)
    if after != before:
        raise NonConformance(what="PID and user of the service", expected=before, observed=after)


@pytest.fixture(autouse=True)
async def nothing_left(jitter: bounds.HostJitter) -> AsyncIterator[None]:
    """Make sure that a test leaves no descriptors and no processes of the suite's behind.

    Raises:
        RuntimeError: it did, which is an error of the suite's own.
    """
    before, children = _open_descriptors(), _children()
    STARVATION.mark()
    yield
    end = time.monotonic() + _SETTLE + jitter.seconds
    # Nothing announces that a descriptor was closed.
    while (more := _open_descriptors() - before) > _OWN_DESCRIPTORS and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(bounds.POLL)
    if more > _OWN_DESCRIPTORS:
        raise RuntimeError(f"the test left {more} descriptors open")
    if left := _children() - children - _shared():
        raise RuntimeError(f"the test left processes behind: {sorted(left)}")


def node_of(config: pytest.Config) -> Node:
    """Return a node of its own for the implementation that is judged."""
    return Node(
        config.stash[judge.IMPLEMENTATION],
        config.stash[WORKDIR],
        config.getoption("start_timeout"),
    )


def _shared() -> set[int]:
    """Return the IDs of processes that outlive the test that first needed them."""
    processes = [process for node in SHARED for process in node.processes]
    return {member.pid for process in processes for member in process.family()}


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
