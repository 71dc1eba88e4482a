"""A socket directory with services in it, and health checks that answer as they are told."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from reference.config.client import Registration, Registry
from reference.mesh.directory import listener
from reference.mesh.endpoints import EndpointState, ServiceEndpoint
from reference.mesh.registry import ServiceRegistry

SOON = 10.0
"""Seconds until a test gives up waiting for a fact; most take 10 ms, and both cores may be busy."""

NEVER = 3600.0
"""Seconds of an interval that is not to matter."""

HERE = os.getpid()

UNSPECIFIED, HEALTHY, UNHEALTHY = EndpointState


class Place:
    """A directory, and sockets in it that somebody listens at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root / "s"
        self.directory.mkdir()
        self._listening: list[socket.socket] = []

    def bind(self, name: str) -> socket.socket:
        """Make a socket in the directory at which nobody listens yet."""
        one = socket.socket(socket.AF_UNIX)
        self._listening.append(one)
        one.bind(str(self.directory / name))
        return one

    def listen(self, name: str) -> Path:
        """Make a socket in the directory, and listen."""
        self.bind(name).listen()
        return self.directory / name

    def publish(self, name: str) -> Path:
        """Make a socket that takes the place of whatever is there, in one step."""
        return self.listen(f".{name}").rename(self.directory / name)

    def stale(self, name: str) -> Path:
        """Leave a socket at which nobody listens any more."""
        self.bind(name).close()
        # Not mistaken for one that is about to listen.
        os.utime(self.directory / name, (0, 0))
        return self.directory / name

    def settings(self, *registrations: Registration, **changed: Any) -> Registry:
        """Return settings under which nothing happens by an interval."""
        usual: dict[str, Any] = {
            "socket_dir": self.directory,
            "rescan_interval": NEVER,
            "registrations": registrations,
            "metadata": {},
            "health_interval": NEVER,
            "health_timeout": SOON,
            "failure_threshold": 1,
        }
        return Registry(**(usual | changed))

    def endpoint(self, name: str, version: str = "", **changed: Any) -> ServiceEndpoint:
        """Return a found endpoint, healthy and listened at by this process."""
        usual: dict[str, Any] = {
            "socket_path": self.directory / f"{name}{version and '@'}{version}.sock",
            "tcp_address": "",
            "registered": False,
            "state": HEALTHY,
            "last_check": None,
            "metadata": {},
            "pid": HERE,
        }
        return ServiceEndpoint(name=name, version=version, **(usual | changed))

    def close(self) -> None:
        """Close all sockets, and remove everything."""
        for one in self._listening:
            one.close()
        shutil.rmtree(self.root)


@contextmanager
def short_place() -> Iterator[Place]:
    """Give a place whose paths fit into a socket's address, as those of tmp_path may not."""
    place = Place(Path(tempfile.mkdtemp(prefix="bh")))
    try:
        yield place
    finally:
        place.close()


class Checks:
    """Health checks: `answers` by name of the service, else True; held while not `open`."""

    def __init__(self, **answers: bool | Exception) -> None:
        self.answers: dict[str, bool | Exception] = answers
        self.asked: list[str] = []
        self.running = self.most = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, endpoint: ServiceEndpoint) -> bool:
        self.asked.append(endpoint.name)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        answer = self.answers.get(endpoint.name, True)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Connecting(Checks):
    """Health checks that pass where somebody listens."""

    async def __call__(self, endpoint: ServiceEndpoint) -> bool:
        await super().__call__(endpoint)
        assert endpoint.socket_path
        listener(endpoint.socket_path)
        return True


@asynccontextmanager
async def running(settings: Registry, checks: Checks) -> AsyncIterator[ServiceRegistry]:
    """Give a registry that is started, and close it."""
    registry = ServiceRegistry(settings, checks)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.close()


async def until(
    registry: ServiceRegistry, fact: Callable[[list[ServiceEndpoint]], bool]
) -> list[list[ServiceEndpoint]]:
    """Follow the list until a fact is seen; return all that was seen."""
    seen = []
    async with asyncio.timeout(SOON), aclosing(registry.changes()) as changes:
        async for endpoints in changes:
            seen.append(endpoints)
            if fact(endpoints):
                break
    return seen


async def settled(registry: ServiceRegistry) -> list[ServiceEndpoint]:
    """Return the list as soon as every endpoint was checked."""

    def every_one_is_checked(endpoints: list[ServiceEndpoint]) -> bool:
        return all(each.state is not UNSPECIFIED for each in endpoints)

    return (await until(registry, every_one_is_checked))[-1]


async def eventually(fact: Callable[[], bool]) -> None:
    """Wait for a fact that nobody tells."""
    async with asyncio.timeout(SOON):
        while not fact():  # noqa: ASYNC110 - there is no event of it
            await asyncio.sleep(0.001)


def names(endpoints: list[ServiceEndpoint]) -> list[str]:
    """Return what the list holds, in short."""
    return [f"{each.name}{each.version and '@'}{each.version}" for each in endpoints]
