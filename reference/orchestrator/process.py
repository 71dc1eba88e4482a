"""The orchestrator as a process."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from blackhole.orchestrator.v1 import orchestrator_pb2, orchestrator_pb2_grpc

from ..config.orchestrator import OrchestratorSettings
from ..mesh import server
from ..mesh.directory import listener
from ..mesh.errors import StartError
from ..mesh.health import NOT_SERVING, SERVING, Health
from .keeping import Keeping
from .servicer import OrchestratorServicer
from .supervisor import Supervisor


class OrchestratorProcess:
    """What the orchestrator brings to its process."""

    full_names = (orchestrator_pb2.DESCRIPTOR.services_by_name["OrchestratorService"].full_name,)

    def __init__(self, supervisor: Supervisor) -> None:
        """Serve this."""
        self._supervisor = supervisor

    def add_to(self, grpc_server: Any) -> None:
        """Register the servicer."""
        orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server(
            OrchestratorServicer(self._supervisor), grpc_server
        )

    def drain(self) -> None:
        """Begin nothing more, and end what follows."""
        self._supervisor.drain()


def run(settings: OrchestratorSettings) -> int:
    """Run the node until SIGTERM; return the exit status."""
    return server.run(settings, opened)


@asynccontextmanager
async def opened(
    settings: OrchestratorSettings, health: Health
) -> AsyncIterator[OrchestratorProcess]:
    """Start the services, and stop them in the end.

    Raises:
        StartError: another orchestrator has the socket directory.
    """
    refuse_second(settings)
    health.set(NOT_SERVING)
    keeping = await Keeping.begin(settings.orphan_timeout)
    supervisor = Supervisor(settings, keeping)
    tasks = [asyncio.create_task(_tell_health(supervisor, health))]
    if sys.stdout.isatty():
        # Imported here: nobody else needs it.
        from .table import show  # noqa: PLC0415

        tasks.append(asyncio.create_task(show(supervisor)))
    try:
        await supervisor.start()
        yield OrchestratorProcess(supervisor)
    finally:
        await supervisor.stop()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await keeping.end()


def refuse_second(settings: OrchestratorSettings) -> None:
    """Make sure that no other orchestrator serves in the socket directory.

    Raises:
        StartError: one does; before anything of its was touched.
    """
    path = settings.socket
    assert path is not None  # noqa: S101 - it always has one
    with suppress(OSError):
        pid = listener(path)
        raise StartError(f"{path}: an orchestrator serves here already, process {pid}")


async def _tell_health(supervisor: Supervisor, health: Health) -> None:
    async for _ in supervisor.changes():
        health.set(SERVING if supervisor.settled else NOT_SERVING)
