"""The words that tests of the client role are written in: a driver, and the peers it calls."""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any

import pytest

from .circuit import Circuit
from .driver import Driver
from .fixtures import SHARED, bury, died, forget, node_of
from .judging import Inconclusive, NonConformance, attach, did, not_run, untestable
from .kinds import KINDS, Kinds
from .nodes import Node, peer_credentials
from .options import ATTACHED
from .peer import Peer
from .service import seconds

DRIVEN: Mapping[str, Mapping[str, Any]] = {
    "quick": {
        "retry": {
            "max_attempts": 4,
            "initial_backoff": "0.04s",
            "max_backoff": "0.1s",
            "backoff_multiplier": 2,
        },
        "circuit": {"failure_threshold": 1000, "timeout": "10s"},
        "pool": {"max_conns": 3, "keep_alive": "30s"},
        # Longer than any test: what leaves was full, however slowly it was submitted.
        "batch": {"max_size": 5, "max_wait": "30s"},
        "registry": {"rescan_interval": "0.3s"},
        # A check that is late by half a second on a busy host must not make its peer unhealthy.
        "health": {"interval": "0.2s", "timeout": "2s"},
        "default_timeout": "5s",
        "compression": {"enabled": True, "min_bytes": 1024},
    },
    "breaking": {
        "retry": {"max_attempts": 1},
        "circuit": {
            "failure_threshold": 3,
            "success_threshold": 2,
            "timeout": "10s",
            "half_open_timeout": "0.3s",
        },
        "health": {"interval": "10s"},
    },
    "bounding": {
        # Ends calls that a busy host may need as long for: of no use where that is not judged.
        "retry": {"max_attempts": 1},
        "circuit": {
            "failure_threshold": 3,
            "success_threshold": 2,
            "timeout": "0.25s",
            "half_open_timeout": "0.3s",
        },
        "health": {"interval": "10s"},
    },
    "broken": {
        # Opens early and never closes again: half_open_timeout is its default of 30 s.
        "retry": {"max_attempts": 1},
        "circuit": {
            "failure_threshold": 2,
            "failure_codes": ["UNAVAILABLE", "ABORTED", "NOT_FOUND"],
        },
        "registry": {"rescan_interval": "0.3s"},
        "health": {"interval": "10s"},
    },
    "pooling": {
        # A peer that a stalled host keeps from answering is not taken for dead: connect_timeout,
        # which bounds answers to pings too, is its default of 5 s.
        "pool": {"max_conns": 3, "max_idle_conns": 2, "idle_timeout": "0.4s"},
        "retry": {"max_attempts": 1},
        "health": {"interval": "10s"},
        "batch": {"max_size": 5, "max_wait": "0.25s"},
    },
    "pinging": {
        # gRPC C-core sends no more than one ping a second, whatever it is told (measured).
        # A host that stalls for less than half a second must not make a peer dead.
        "pool": {"keep_alive": "1s", "connect_timeout": "0.5s"},
        "retry": {"max_attempts": 1},
        # No check of health falls into what pings have to find, also where they come each 10 s.
        "health": {"interval": "60s"},
    },
    "faulty": {
        # A call is one attempt, and what it met is all that it tells. Health is asked once, before
        # anything is wrong with the way there.
        "retry": {"max_attempts": 1},
        "circuit": {"failure_threshold": 1000, "timeout": "10s"},
        "registry": {"rescan_interval": "0.3s"},
        "health": {"interval": "60s"},
        "default_timeout": "5s",
    },
    "waiting": {
        "retry": {"initial_backoff": "0.3s", "max_backoff": "0.3s"},
        "registry": {"rescan_interval": "0.3s"},
        "health": {"interval": "10s"},
        "default_timeout": "0.4s",
    },
    "jittered": {
        "retry": {
            "max_attempts": 3,
            "initial_backoff": "2s",
            "max_backoff": "0.1s",
            "backoff_multiplier": 1,
            "retryable_codes": ["ABORTED", "RESOURCE_EXHAUSTED"],
            "jitter": 0.5,
        },
        "circuit": {"failure_threshold": 1000},
        "registry": {"rescan_interval": "0.3s"},
        "health": {"interval": "10s"},
    },
}
"""Configurations that drivers are shared by; durations are as short as this host's jitter lets
them be told apart. A test names its own by `@pytest.mark.driven("breaking")`; else `quick`."""

KEEP_ALIVE = "30s"
"""`pool.keep_alive` by default (config.proto)."""

_numbers = itertools.count(1)

Peers = Callable[..., Awaitable[Peer]]


def _pinging(settings: Mapping[str, Any], least: float) -> Mapping[str, Any]:
    """Return settings whose pings are no closer together than a gRPC library allows."""
    pool = settings.get("pool", {})
    if seconds(pool.get("keep_alive", KEEP_ALIVE)) >= least:
        return settings
    return {**settings, "pool": {**pool, "keep_alive": f"{least:g}s"}}


class SharedDrivers:
    """Drivers that tests share, one a configuration, each started when it is first needed."""

    def __init__(self, config: pytest.Config) -> None:
        """Start nothing yet."""
        self._config = config
        self._started: dict[str, tuple[Node, Driver | NonConformance]] = {}
        self.proven: set[Driver] = set()
        """Those that served at the end of the test that used them last."""

    async def get(self, configuration: str) -> tuple[Node, Driver]:
        """Return the driver of a configuration, and its node.

        Raises:
            Untestable: it does not start.
        """
        if configuration in self._started and died(*self._started[configuration]):
            await bury(self._started.pop(configuration)[0])
        if configuration not in self._started:
            node = node_of(self._config)
            SHARED.append(node)
            settings = _pinging(DRIVEN[configuration], node.implementation.least_keep_alive)
            try:
                self._started[configuration] = node, await node.drive(settings)
            except NonConformance as problem:
                self._started[configuration] = node, problem
            except Inconclusive:
                await forget(node)
                raise
        node, driver = self._started[configuration]
        if isinstance(driver, NonConformance):
            untestable(f"the driver does not start: {driver}")
        return node, driver

    async def close(self) -> None:
        """End all of them, at once.

        Raises:
            NonConformance: one did not end well.
        """
        nodes = [node for node, _ in self._started.values()]
        for outcome in await asyncio.gather(
            *(node.close() for node in nodes), return_exceptions=True
        ):
            if isinstance(outcome, BaseException):
                raise outcome


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"driven(configuration): the shared driver to use; one of {', '.join(DRIVEN)}",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    """Collect garbage between tests, and not while one measures.

    A full collection stops the suite for 50 to 250 ms (measured, on an idle and on a busy host),
    always in the same test: its peers answer late then, and the client's clock runs on.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="session")
async def shared_drivers(request: pytest.FixtureRequest) -> AsyncIterator[SharedDrivers]:
    """The running drivers of tests that destroy nothing."""
    drivers = SharedDrivers(request.config)
    yield drivers
    await drivers.close()


@pytest.fixture
async def driven(
    request: pytest.FixtureRequest, shared_drivers: SharedDrivers
) -> tuple[Node, Driver]:
    """The shared driver of the test's configuration, and the node it runs in."""
    if request.config.stash[ATTACHED]:
        not_run("attached: the suite cannot start or configure a driver")
    marker = request.node.get_closest_marker("driven")
    return await shared_drivers.get(marker.args[0] if marker else "quick")


@pytest.fixture
async def driver(
    driven: tuple[Node, Driver], shared_drivers: SharedDrivers
) -> AsyncIterator[Driver]:
    """A running driver that served before the test, and must serve after it.

    Its peers and its state (breaker, pool, registry) meet no other test's, as long as each test
    uses service names of its own.
    """
    _, driver = driven
    try:
        if driver not in shared_drivers.proven:
            await driver.lives()
    except NonConformance as problem:
        untestable(f"the driver does not serve: {problem}")
    shared_drivers.proven.discard(driver)
    before = peer_credentials(driver.path)
    attach("driver.txt", driver.process.story)

    yield driver

    await driver.hang_up(keep=driver.channel)
    await driver.lives()
    after = peer_credentials(driver.path)
    if after != before:
        raise NonConformance(what="PID and user of the driver", expected=before, observed=after)
    shared_drivers.proven.add(driver)


@pytest.fixture
def name() -> str:
    """A service name that no other test uses."""
    return f"p{next(_numbers)}"


@pytest.fixture
async def peers(driven: tuple[Node, Driver], driver: Driver) -> AsyncIterator[Peers]:
    """Open further peers beside the shared driver, by name and version, as `node.peer` does.

    Each is known to discovery when it comes, and is closed after the test.
    """
    node, _ = driven
    opened: list[Peer] = []

    async def open_peer(name: str, version: str = "", **how: Any) -> Peer:
        peer = await node.peer(name, version, **how)
        opened.append(peer)
        # Elsewhere than in the socket directory it is for the test to say how it is found.
        await driver.finds(name, version, "" if "at" in how else peer.address)
        return peer

    yield open_peer
    for peer in opened:
        await peer.close()


@pytest.fixture
async def peer(peers: Peers, name: str) -> Peer:
    """The peer that plays the service `name` for the shared driver."""
    return await peers(name)


@pytest.fixture
async def kinds(driver: Driver, peers: Peers, name: str) -> Kinds:
    """A peer for each kind of call, all of them called by the shared driver at once."""
    opened = {kind: await peers(f"{name}-{kind.lower()}") for kind in KINDS}
    return Kinds(driver, opened)


@pytest.fixture
def circuit(driver: Driver, peer: Peer) -> Circuit:
    """The breaker of the service `name`; needs `driven("breaking")` or `driven("bounding")`."""
    return Circuit(driver, peer)


@pytest.fixture(scope="session")
async def opened_circuits(
    request: pytest.FixtureRequest, shared_drivers: SharedDrivers
) -> list[Circuit]:
    """A circuit for each test that begins with a half-open one: they wait for that at once."""
    if request.config.stash[ATTACHED]:
        return []
    node, driver = await shared_drivers.get("breaking")
    circuits: list[Circuit] = []
    for item in request.session.items:
        if "half_open" in getattr(item, "fixturenames", ()):
            peer = await node.peer(f"half-open{len(circuits)}")
            await driver.finds(peer.name)
            circuits.append(Circuit(driver, peer))
            await circuits[-1].opens()
    await circuits[-1].passes(circuits[-1].wait)
    return circuits


@pytest.fixture
def half_open(driver: Driver, opened_circuits: list[Circuit]) -> Circuit:
    """A circuit that was opened, and whose wait has passed; needs `driven("breaking")`."""
    del driver
    circuit = opened_circuits.pop()
    did(f"{circuit.service}: its circuit was opened, and half_open_timeout has passed")
    attach(f"{circuit.service}.txt", circuit.peer.story)
    return circuit
