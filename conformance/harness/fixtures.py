"""The words that tests are written in."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from . import bounds, judge
from .collector import Collector
from .identity import Identity
from .judging import Inconclusive, NonConformance, attach, did, not_run, untestable
from .nodes import Node, peer_credentials
from .options import ATTACHED, WORKDIR
from .service import ServedProcess
from .starvation import STARVATION

S = TypeVar("S", bound=ServedProcess)

TRANSPORTS = ("unix", "tcp")
"""Transports that every service-side requirement runs on (TLS-8)."""

SERVED = frozenset({"service", "security", "platform"})
"""Profiles of what is asked of a service, over whichever transport."""

_SETTLE = 2.0
"""Seconds for gRPC to give back the descriptors of a channel that was closed; seen: 0.1."""

_OWN_DESCRIPTORS = 8
"""Descriptors that gRPC may keep for itself once a first channel was made."""


_DESCRIPTORS_A_NODE = 3
"""Descriptors that a shared node keeps: its port, the suite's connection, and what that took."""

SHARED: list[Node] = []
"""Nodes that are started when a test first needs them, and serve until the session ends."""


@dataclass(slots=True)
class Helpers:
    """What else the suite starts when a test first needs it, and ends with the session."""

    descriptors: int = 0
    pids: set[int] = field(default_factory=set)


HELPERS = Helpers()


@pytest.fixture(scope="session", autouse=True)
async def jitter() -> AsyncIterator[bounds.HostJitter]:
    """Measure how late this host wakes a sleeper, and go on watching it."""
    await bounds.JITTER.measure()
    watching = asyncio.create_task(bounds.JITTER.watch())
    yield bounds.JITTER
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "transports(*names): the transports that the test is about; else both"
    )
    config.addinivalue_line(
        "markers", "also_profile(*names): profiles that the test needs besides its requirement's"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is asked of a service over both transports, where both are claimed (TLS-8)."""
    if "transport" in metafunc.fixturenames:
        metafunc.parametrize("transport", _transports(metafunc), indirect=True)


def _transports(metafunc: pytest.Metafunc) -> tuple[str, ...]:
    config = metafunc.config
    remote = "remote" in config.stash[judge.IMPLEMENTATION].profiles and not config.stash[ATTACHED]
    if marker := metafunc.definition.get_closest_marker("transports"):
        # Of several, those that are claimed.
        return tuple(marker.args) if remote else tuple(marker.args[:1])
    if not remote:
        return TRANSPORTS[:1]
    # A test that names no requirement is refused later, with all others of its kind.
    with suppress(ValueError):
        requirement = judge.requirement_of(metafunc.function, judge.specification(config))
        if SERVED.issuperset(requirement.profiles):
            return TRANSPORTS
    return TRANSPORTS[:1]


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Chance, as the seed of the run has it: the same in each run with that seed."""
    return random.Random(request.config.stash[judge.SEED])  # noqa: S311 - no secret


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> str:
    """How the service under test is reached."""
    return str(request.param)


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector of traces; asked for before `node`, it outlives what is started there."""
    async with Collector() as listening:
        yield listening


@pytest.fixture
async def node(request: pytest.FixtureRequest, transport: str) -> AsyncIterator[Node]:
    """Directories and a configuration of the test's own, to start processes with."""
    if request.config.stash[ATTACHED]:
        not_run("attached: the suite cannot start or restart a service that the user started")
    node = node_of(request.config, transport)
    yield node
    await node.close()


@pytest.fixture(scope="session")
def controls() -> dict[str, Exception | None]:
    """What kept the service from starting and stopping once, by transport; None: nothing did."""
    return {}


@pytest.fixture
async def control(node: Node, controls: dict[str, Exception | None]) -> Node:
    """A node with whose settings the service starts and stops: the control of a refused start."""
    if node.transport not in controls:
        controls[node.transport] = None
        try:
            await (await node.start()).stop()
        except NonConformance as problem:
            controls[node.transport] = problem
    if (known := controls[node.transport]) is not None:
        untestable(f"the control does not start and stop: {known}")
    did("the control started and stopped")
    return node


class SharedServices:
    """Running services for all tests that destroy nothing, one a transport and kind.

    Each is started when it is first needed, and serves until the session ends.
    """

    def __init__(self, config: pytest.Config) -> None:
        """Start nothing yet."""
        self._config = config
        self._started: dict[tuple[str, type[ServedProcess]], tuple[Node, Any]] = {}

    async def get(self, transport: str, kind: type[S]) -> S:
        """Return the service of a kind that is reached so.

        Raises:
            Untestable: it does not start.
        """
        key = transport, kind
        if key in self._started and died(*self._started[key]):
            # Whose test that was has said so; it is none of the next test's.
            await bury(self._started.pop(key)[0])
        if key not in self._started:
            node = node_of(self._config, transport)
            SHARED.append(node)
            try:
                self._started[key] = node, await node.serve(kind)
            except NonConformance as problem:
                self._started[key] = node, problem
            except Inconclusive:
                await forget(node)
                raise
        service = self._started[key][1]
        if isinstance(service, NonConformance):
            untestable(f"the service does not start: {service}")
        assert isinstance(service, kind)  # noqa: S101 - says so to the type checker
        return service

    def attach(self, path: Path) -> None:
        """Take an identity service that the user started in the place of ours."""
        service = Identity(path, None, bounds.DEADLINE)
        self._started["unix", Identity] = node_of(self._config), service

    async def close(self) -> None:
        """End all of them."""
        for node, service in self._started.values():
            if isinstance(service, ServedProcess):
                await service.hang_up()
            await node.close()


@pytest.fixture(scope="session")
async def shared_services(request: pytest.FixtureRequest) -> AsyncIterator[SharedServices]:
    """The running services of tests that destroy nothing."""
    services = SharedServices(request.config)
    if attached := request.config.stash[ATTACHED].get("identity"):
        services.attach(attached)
    yield services
    await services.close()


@pytest.fixture
async def identity(shared_services: SharedServices, transport: str) -> AsyncIterator[Identity]:
    """A running identity service that served before the test, and must serve after it."""
    service = await shared_services.get(transport, Identity)
    async with unharmed(service):
        yield service


@asynccontextmanager
async def unharmed(service: ServedProcess) -> AsyncIterator[None]:
    """Make sure that a shared service serves before a test and after it, as the same process.

    Raises:
        Untestable: it does not serve before.
        NonConformance: it does not serve after, or is another process.
    """
    try:
        await service.lives()
    except NonConformance as problem:
        untestable(f"the service does not serve: {problem}")
    before = peer_credentials(service.path)
    if service.has_process:
        attach("service.txt", service.process.story)

    yield

    await service.hang_up(keep=service.channel)
    await service.lives()
    after = peer_credentials(service.path)
    if after != before:
        raise NonConformance(what="PID and user of the service", expected=before, observed=after)


@pytest.fixture(autouse=True)
async def nothing_left(jitter: bounds.HostJitter) -> AsyncIterator[None]:
    """Make sure that a test leaves no descriptors and no processes of the suite's behind.

    Raises:
        RuntimeError: it did, which is an error of the suite's own.
    """
    before, children = _open_descriptors(), _children()
    shared, helpers = len(SHARED), HELPERS.descriptors

    def allowed() -> int:
        return _allowed(shared) + HELPERS.descriptors - helpers

    STARVATION.mark()
    yield
    end = time.monotonic() + _SETTLE + jitter.seconds
    # Nothing announces that a descriptor was closed.
    while (more := _open_descriptors() - before) > allowed() and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(bounds.POLL)
    if more > allowed():
        raise RuntimeError(f"the test left {more} descriptors open")
    if (grown := _children() - children) and (left := grown - _shared()):
        raise RuntimeError(f"the test left processes behind: {sorted(left)}")


async def forget(node: Node) -> None:
    """Give up a shared node on which nothing could be started: the next test tries anew."""
    SHARED.remove(node)
    await node.close()


def died(node: Node, service: object) -> bool:
    """Tell whether a shared service ran, and has ended before its time."""
    if not isinstance(service, ServedProcess) or not service.has_process:
        return False
    return node in SHARED and not service.process.alive


async def bury(node: Node) -> None:
    """Give up a shared node whose service has died, and all that it left behind."""
    did("a shared service had died in an earlier test; another one is started")
    with suppress(NonConformance):
        await forget(node)


def node_of(config: pytest.Config, transport: str = "unix") -> Node:
    """Return a node of its own for the implementation that is judged."""
    return Node(
        config.stash[judge.IMPLEMENTATION],
        config.stash[WORKDIR],
        config.getoption("start_timeout"),
        transport,
    )


def _allowed(shared: int) -> int:
    """Return how many descriptors more a test may leave that began with so many shared nodes."""
    return _OWN_DESCRIPTORS + _DESCRIPTORS_A_NODE * (len(SHARED) - shared)


def _shared() -> set[int]:
    """Return the IDs of processes that outlive the test that first needed them."""
    processes = [process for node in SHARED for process in node.processes]
    return HELPERS.pids | {member.pid for process in processes for member in process.family()}


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
