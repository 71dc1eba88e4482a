"""The mesh client of a process, put together: registry, discovery, pool, client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..config.client import Client as ClientSettings
from .breaker import State
from .channels import channels
from .checker import HealthChecker
from .client import ServiceClient
from .dialling import Dialler
from .discovery import ProcessDiscovery
from .pool import ConnectionPool
from .registry import ServiceRegistry
from .security.own_token import own_token
from .telemetry.measures import PROCESS, Gauge


@dataclass(frozen=True, slots=True)
class Mesh:
    """The parts, of which most need the client alone."""

    client: ServiceClient
    discovery: ProcessDiscovery
    registry: ServiceRegistry
    pool: ConnectionPool


def circuits(client: ServiceClient) -> Gauge:
    """Return the gauge of the states of a client's circuits (CBR-11)."""
    numbers = {state: number for number, state in enumerate(State)}
    return Gauge(
        "blackhole_circuit_state",
        "State of the circuit of a service: 0 closed, 1 open, 2 half-open",
        ("target",),
        lambda: [((name,), numbers[one.state]) for name, one in client.breakers.items()],
    )


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
    PROCESS.gauge(circuits(client))
    await registry.start()
    try:
        yield Mesh(client, discovery, registry, pool)
    finally:
        await client.close()
        await registry.close()
