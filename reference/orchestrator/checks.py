"""What a service says of its health, and who it is that says so."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path

from ..config.orchestrator import OrchestratorSettings, Service
from ..mesh.channels import channels
from ..mesh.checker import HealthChecker
from ..mesh.directory import listener
from ..mesh.endpoints import EndpointState, ServiceEndpoint
from ..mesh.health import SERVING
from .child import Child


class Answer(StrEnum):
    """What came of a check."""

    SERVING = auto()
    OTHER = auto()
    """It answers, and says something else."""
    NOTHING = auto()
    """It does not answer in time, or not at all; or another process does."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one version of a service listens."""

    name: str
    version: str
    path: Path | None
    tcp_address: str

    @classmethod
    def of(cls, service: Service, version: str, directory: Path) -> "Place":
        """Return where it listens in a version."""
        path = None
        if service.listens_at_socket:
            name = f"{service.name}@{version}.sock" if version else f"{service.name}.sock"
            path = service.unix_socket or directory / name
        return cls(service.name, version, path, service.tcp_address)

    @property
    def endpoint(self) -> ServiceEndpoint:
        """The same in the words of the mesh."""
        return ServiceEndpoint(
            name=self.name,
            version=self.version,
            socket_path=self.path,
            tcp_address=self.tcp_address,
            registered=True,
            state=EndpointState.UNSPECIFIED,
            last_check=None,
            metadata={},
            pid=0,
        )


class Checks:
    """Asks services for their health.

    Args:
        settings: the bound of a check, and how ports are spoken to.
    """

    def __init__(self, settings: OrchestratorSettings) -> None:
        """Nobody is asked yet."""
        self._timeout = settings.health_timeout
        self._checker = HealthChecker(self._timeout, channels(settings.tls))

    async def ask(self, place: Place, child: Child) -> tuple[Answer, int]:
        """Ask once; return what came of it, and the process that serves (0: unknown).

        It is the one that was started, or one of its group; any other is as good as none.
        """
        pid = 0
        if place.path is not None:
            try:
                pid = listener(place.path)
            except OSError:
                return Answer.NOTHING, 0
            if pid and not child.leads(pid):
                return Answer.NOTHING, 0
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._checker.ask(place.endpoint)
        except TimeoutError:
            status = None
        if status is None:
            return Answer.NOTHING, pid
        return (Answer.SERVING if status == SERVING else Answer.OTHER), pid or child.pid
