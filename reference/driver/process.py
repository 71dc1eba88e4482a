"""The driver as a process: the mesh client is put together, and served as Driver."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from blackhole.conformance.v1 import driver_pb2, driver_pb2_grpc

from ..config.client import DriverSettings
from ..mesh import server
from ..mesh.channels import channels
from ..mesh.checker import HealthChecker
from ..mesh.client import ServiceClient
from ..mesh.dialling import Dialler
from ..mesh.discovery import ProcessDiscovery
from ..mesh.health import SERVING, Health
from ..mesh.pool import ConnectionPool
from ..mesh.registry import ServiceRegistry
from ..mesh.security.own_token import own_token
from .servicer import DriverServicer


class DriverService:
    """What the driver brings to its process."""

    full_names = (driver_pb2.DESCRIPTOR.services_by_name["Driver"].full_name,)

    def __init__(self, servicer: DriverServicer) -> None:
        """Serve this."""
        self._servicer = servicer

    def add_to(self, grpc_server: Any) -> None:
        """Register the servicer."""
        driver_pb2_grpc.add_DriverServicer_to_server(self._servicer, grpc_server)

    def drain(self) -> None:
        """End every watch."""
        self._servicer.drain()


def run(settings: DriverSettings) -> int:
    """Run the driver until SIGTERM; return the exit status."""
    return server.run(settings, opened)


@asynccontextmanager
async def opened(settings: DriverSettings, health: Health) -> AsyncIterator[DriverService]:
    """Start the registry, and put the mesh client together.

    Raises:
        StartError: a file of TLS, or the one with its token, cannot be used.
    """
    made = channels(settings.client.tls)
    checker = HealthChecker(settings.client.registry.health_timeout, made)
    registry = ServiceRegistry(settings.client.registry, checker)
    dial = Dialler(settings.client.pool, settings.client.max_message_bytes, made)
    pool = ConnectionPool(settings.client.pool, dial)
    discovery = ProcessDiscovery(registry)
    file = settings.client.token_file
    token = own_token(file) if file else None
    client = ServiceClient(settings.client, discovery, pool, token)
    servicer = DriverServicer(settings.client.batch, client, discovery, registry, pool)
    await registry.start()
    health.set(SERVING)
    try:
        yield DriverService(servicer)
    finally:
        await servicer.close()
        await registry.close()
