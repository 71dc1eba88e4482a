"""The mesh client of a process, put together: registry, discovery, pool, client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..config.client import Client as ClientSettings
from .checker import HealthChecker
from .client import ServiceClient
from .dialling import Dialler
from .discovery import ProcessDiscovery
from .pool import ConnectionPool
from .registry import ServiceRegistry


@dataclass(frozen=True, slots=True)
class Mesh:
    """The parts, of which most need the client alone."""

    client: ServiceClient
    discovery: ProcessDiscovery
    registry: ServiceRegistry
    pool: ConnectionPool


@asynccontextmanager
async def joined(settings: ClientSettings) -> AsyncIterator[Mesh]:
    """Have a mesh client for the length of a with block."""
    checker = HealthChecker(settings.registry.health_timeout)
    registry = ServiceRegistry(settings.registry, checker)
    pool = ConnectionPool(settings.pool, Dialler(settings.pool, settings.max_message_bytes))
    discovery = ProcessDiscovery(registry)
    client = ServiceClient(settings, discovery, pool)
    await registry.start()
    try:
        yield Mesh(client, discovery, registry, pool)
    finally:
        await client.close()
        await registry.close()
