"""The driver as a process: the mesh client is put together, and served as Driver."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from blackhole.conformance.v1 import driver_pb2, driver_pb2_grpc

from ..config.client import DriverSettings
from ..mesh import server
from ..mesh.health import SERVING, Health
from ..mesh.joined import joined
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
    """Have a mesh client, and serve it.

    Raises:
        StartError: a file of TLS, or the one with its token, cannot be used.
    """
    async with joined(settings.client) as mesh:
        servicer = DriverServicer(
            settings.client.batch, mesh.client, mesh.discovery, mesh.registry, mesh.pool
        )
        health.set(SERVING)
        try:
            yield DriverService(servicer)
        finally:
            await servicer.close()
