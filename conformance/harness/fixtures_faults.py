"""The words that tests of faults are written in: proxies before peers, and before services.

On Unix sockets the proxy is the suite's own, always. On TCP it is a real Toxiproxy where there is
one (`faults.server`), else the suite's own too.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from .addresses import HOST, TLSAddress, UnixAddress
from .bounds import DEADLINE
from .driver import Driver
from .faults.server import FaultProcess, embedded, real
from .faults.toxiproxy import Server
from .fixtures import HELPERS, SHARED, SharedServices, forget, node_of, unharmed
from .fixtures_client import DRIVEN, SharedDrivers
from .judge import SEED
from .judging import Inconclusive, NonConformance, attach, not_run, untestable
from .nodes import Node
from .options import ATTACHED
from .proxied import FaultProxy, Link
from .remote import remote_caller, suite_pki
from .starvation import STARVATION
from .storage import Storage

WIRES = ("unix", pytest.param("tcp", marks=pytest.mark.also_profile("remote")))
"""What a mesh client is connected by: parameters of a fixture or test that has `wire`."""

FAR = 10
"""Services at ports that a driver knows, each for one use: as many as the tests take."""

_DESCRIPTORS = 5
"""That a process of proxies takes: two pipes, a connection, a port, and one to spare."""

_FAR_DESCRIPTORS = 2
"""What a way to a port keeps: its peer's port, and the connection that health checks may keep."""

_numbers = itertools.count(1)

Links = Callable[[], Awaitable[Link]]


class FaultServers:
    """The servers of proxies, each started when it is first needed."""

    def __init__(self, seed: int) -> None:
        """Start nothing yet."""
        self._seed = seed
        self._started: dict[str, FaultProcess] = {}

    def get(self, wire: str) -> Server:
        """Return the server whose proxies carry a wire."""
        if wire not in self._started:
            process = real() if wire == "tcp" else None
            process = process or self._started.get("unix") or embedded(self._seed)
            self._started[wire] = process
            if process.server.embedded:
                self._started["unix"] = process
        process = self._started[wire]
        if process.pid is not None and process.pid not in HELPERS.pids:
            HELPERS.pids.add(process.pid)
            HELPERS.descriptors += _DESCRIPTORS
            # A proxy that waits for a CPU is as late as an implementation that does.
            STARVATION.follow(process.pid)
        return process.server

    def close(self) -> None:
        """End them."""
        for process in set(self._started.values()):
            process.close()


@pytest.fixture(scope="session")
def fault_servers(request: pytest.FixtureRequest) -> Iterator[FaultServers]:
    """The servers of proxies."""
    servers = FaultServers(request.config.stash[SEED])
    yield servers
    servers.close()


class FarDriver:
    """A driver that knows services at ports, with a proxy before each."""

    def __init__(self, config: pytest.Config, servers: FaultServers) -> None:
        """Start nothing yet."""
        self._config = config
        self._servers = servers
        self._links: list[Link] = []
        self._started: tuple[Node, Driver | NonConformance] | None = None

    async def get(self) -> Driver:
        """Return the driver.

        Raises:
            Untestable: it does not start.
        """
        if self._started is None:
            node = node_of(self._config)
            SHARED.append(node)
            try:
                self._started = node, await self._start(node)
            except NonConformance as problem:
                self._started = node, problem
            except Inconclusive:
                await forget(node)
                raise
        driver = self._started[1]
        if isinstance(driver, NonConformance):
            untestable(f"the driver does not start: {driver}")
        return driver

    def link(self) -> Link:
        """Return a way to a service that no other test uses."""
        return self._links.pop()

    async def close(self) -> None:
        """End it."""
        if self._started is not None:
            await self._started[0].close()

    async def _start(self, node: Node) -> Driver:
        server = self._servers.get("tcp")
        for _ in range(FAR):
            self._links.append(await far_link(node, server, **_recording(server)))
            HELPERS.descriptors += _FAR_DESCRIPTORS
        ports = {
            link.name: {"tcp": {"host": HOST, "port": link.proxy.port}} for link in self._links
        }
        tls = remote_caller(node.directory).settings
        return await node.drive({**DRIVEN["faulty"], "tls": tls, "services": ports})


@pytest.fixture(scope="session")
async def far_driver(
    request: pytest.FixtureRequest, fault_servers: FaultServers
) -> AsyncIterator[FarDriver]:
    """The driver of tests whose wire is TCP."""
    driver = FarDriver(request.config, fault_servers)
    yield driver
    await driver.close()


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> str:
    """What the mesh client is connected by: Unix sockets, or TCP with mutual TLS."""
    return str(request.param)


@pytest.fixture
async def caller(
    request: pytest.FixtureRequest, wire: str, shared_drivers: SharedDrivers, far_driver: FarDriver
) -> AsyncIterator[Driver]:
    """The driver that calls through proxies, and tries each call once; it served before the test.

    It must serve after it.
    """
    if request.config.stash[ATTACHED]:
        not_run("attached: the suite cannot start or configure a driver")
    driver = await far_driver.get() if wire == "tcp" else (await shared_drivers.get("faulty"))[1]
    try:
        await driver.lives()
    except NonConformance as problem:
        untestable(f"the driver does not serve: {problem}")
    attach("driver.txt", driver.process.story)
    yield driver
    await driver.hang_up(keep=driver.channel)
    await driver.lives()


@pytest.fixture
async def links(
    wire: str,
    caller: Driver,
    shared_drivers: SharedDrivers,
    far_driver: FarDriver,
    fault_servers: FaultServers,
) -> AsyncIterator[Links]:
    """Open further ways from the driver to peers, with a proxy on each.

    Each is known to discovery when it comes, and is closed after the test.
    """
    opened: list[Link] = []

    async def link() -> Link:
        if wire == "tcp":
            far = far_driver.link()
            await healthy(caller, far)
            return far
        node, _ = await shared_drivers.get("faulty")
        opened.append(await near_link(node, fault_servers.get("unix"), record=True))
        await healthy(caller, opened[-1])
        return opened[-1]

    yield link
    for one in opened:
        await one.proxy.close()
        await one.peer.close()


@pytest.fixture
async def link(links: Links) -> Link:
    """The way from the driver to a peer."""
    return await links()


@pytest.fixture
async def proxied_driver(
    driven: tuple[Node, Driver], driver: Driver, fault_servers: FaultServers
) -> AsyncIterator[Links]:
    """As `links`, for the shared driver of the test's configuration, over Unix sockets."""
    node, _ = driven
    opened: list[Link] = []

    async def link() -> Link:
        opened.append(await near_link(node, fault_servers.get("unix")))
        await healthy(driver, opened[-1])
        return opened[-1]

    yield link
    for one in opened:
        await one.proxy.close()
        await one.peer.close()


async def healthy(driver: Driver, link: Link) -> None:
    """Wait until a driver has found a peer to be healthy, which it asks again in a minute.

    A fault that met that question would be found already, before any call.

    Raises:
        NonConformance: it does not in time.
    """
    await driver.finds(link.name)
    async with driver.watch() as registry:
        await registry.becomes(link.name, "HEALTHY", bound=DEADLINE)


async def near_link(node: Node, server: Server, **own: Any) -> Link:
    """Let a peer listen where nobody looks for it, and a proxy where its service is found."""
    name = f"way{next(_numbers)}"
    node.socket_dir.mkdir(mode=0o700, exist_ok=True)
    behind = node.directory / name
    peer = await node.peer(name, at=behind)
    listen = f"unix:{node.socket(name)}"
    proxy = await FaultProxy.open(server, name, listen=listen, upstream=f"unix:{behind}", **own)
    return Link(name, peer, proxy, "unix")


async def far_link(node: Node, server: Server, port: int = 0, **own: Any) -> Link:
    """Let a peer listen at a port with mutual TLS, and a proxy at another."""
    name = f"far{next(_numbers)}"
    peer = await node.peer(name, at=0, tls=suite_pki().server())
    listen, upstream = f"{HOST}:{port}", f"{HOST}:{peer.port}"
    proxy = await FaultProxy.open(server, name, listen=listen, upstream=upstream, **own)
    return Link(name, peer, proxy, "tcp")


@pytest.fixture
async def proxied_storage(
    request: pytest.FixtureRequest,
    transport: str,
    shared_services: SharedServices,
    fault_servers: FaultServers,
) -> AsyncIterator[tuple[Storage, FaultProxy]]:
    """A running storage service, and a proxy before it; the service's own address is the proxy's.

    It served before the test, and must serve after it, without the proxy.
    """
    if request.config.stash[ATTACHED]:
        not_run("attached: the suite cannot start a service beside the one that the user started")
    direct = await shared_services.get(transport, Storage)
    server, name = fault_servers.get(transport), f"storage{next(_numbers)}"
    own = _recording(server)
    async with unharmed(direct):
        if isinstance(direct.address, TLSAddress):
            proxy = await FaultProxy.open(
                server, name, listen=f"{HOST}:0", upstream=str(direct.address), **own
            )
            address: Any = TLSAddress(proxy.port, direct.address.credentials)
        else:
            listen = direct.path.with_name(f".{name}")
            proxy = await FaultProxy.open(
                server, name, listen=f"unix:{listen}", upstream=str(direct.address), **own
            )
            address = UnixAddress(proxy.path)
        through = Storage(direct.path, direct.process, direct.grace, address)
        yield through, proxy
        await through.hang_up()
        await proxy.close()


def _recording(server: Server) -> dict[str, Any]:
    """Return what makes a proxy record, where it can."""
    return {"record": True} if server.embedded else {}
