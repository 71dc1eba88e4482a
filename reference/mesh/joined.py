"""The mesh client of a process, put together: registry, discovery, pool, client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..config.client import Client as ClientSettings
from .channels import channels
from .checker import HealthChecker
from .client import ServiceClient
from .dialling import Dialler
from .discovery import ProcessDiscovery
from .pool import ConnectionPool
from .registry import ServiceRegistry
from .security.own_token import own_token


@dataclass(frozen=True, slots=True)
class Mesh:
    """The parts, of which most need the client alone."""

    client: ServiceClient
    discovery: ProcessDiscovery
    registry: ServiceRegistry
    pool: ConnectionPool


@asynccontextmanager
async def joined(settings: ClientSettings) -> AsyncIterator[Mesh]:
    """Have a mesh client for the length of a with block.

    Raises:
        StartError: a file of TLS, or the one with its token, cannot be used.
    """
    made = channels(settings.tls)
    checker = HealthChecker(settings.registry.health_timeout, made)
    registry = ServiceRegistry(settings.registry, checker)
    pool = ConnectionPool(settings.pool, Dialler(settings.pool, settings.max_message_bytes, made))
    discovery = ProcessDiscovery(registry)
    token = own_token(settings.token_file) if settings.token_file else None
    client = ServiceClient(settings, discovery, pool, token)
    await registry.start()
    try:
        yield Mesh(client, discovery, registry, pool)
    finally:
        await client.close()
        await registry.close()
