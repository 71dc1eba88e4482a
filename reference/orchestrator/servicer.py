"""blackhole.orchestrator.v1.OrchestratorService."""

from collections.abc import AsyncIterator
from typing import Any

from blackhole.orchestrator.v1 import orchestrator_pb2 as pb
from blackhole.orchestrator.v1 import orchestrator_pb2_grpc

from ..config.orchestrator import command_of
from ..config.reading import ConfigError
from ..mesh.errors import InvalidArgumentError, Violation
from ..mesh.sending import sent
from ..mesh.versions import parse
from .checks import Answer
from .supervisor import Known, Supervisor

HEALTH: dict[Answer | None, Any] = {
    None: pb.SERVICE_HEALTH_UNKNOWN,
    Answer.SERVING: pb.SERVICE_HEALTH_SERVING,
    Answer.OTHER: pb.SERVICE_HEALTH_NOT_SERVING,
    Answer.NOTHING: pb.SERVICE_HEALTH_NOT_SERVING,
}


class OrchestratorServicer(orchestrator_pb2_grpc.OrchestratorServiceServicer):
    """The methods.

    Args:
        supervisor: knows the services.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        """Serve from a supervisor."""
        self._supervisor = supervisor

    async def ListServices(  # noqa: N802
        self, _request: pb.ListServicesRequest, _context: Any
    ) -> pb.ListServicesResponse:
        """Return all of them (ORC-11)."""
        return pb.ListServicesResponse(
            services=[info(Known.of(unit)) for unit in self._supervisor.units]
        )

    async def GetService(  # noqa: N802
        self, request: pb.GetServiceRequest, _context: Any
    ) -> pb.GetServiceResponse:
        """Return one."""
        unit = self._supervisor.unit(request.name)
        return pb.GetServiceResponse(service=info(Known.of(unit)))

    async def WatchServices(  # noqa: N802
        self, _request: pb.WatchServicesRequest, context: Any
    ) -> AsyncIterator[pb.WatchServicesResponse]:
        """Return all of them, and then what changes."""
        await sent(context.send_initial_metadata(()))
        async for known in self._supervisor.follow():
            yield pb.WatchServicesResponse(service=info(known))

    async def RestartService(  # noqa: N802
        self, request: pb.RestartServiceRequest, _context: Any
    ) -> pb.RestartServiceResponse:
        """Stop and start one."""
        unit = await self._supervisor.restart(request.name)
        return pb.RestartServiceResponse(service=info(Known.of(unit)))

    async def StopService(  # noqa: N802
        self, request: pb.StopServiceRequest, _context: Any
    ) -> pb.StopServiceResponse:
        """Stop one."""
        unit = await self._supervisor.halt(request.name)
        return pb.StopServiceResponse(service=info(Known.of(unit)))

    async def RollService(  # noqa: N802
        self, request: pb.RollServiceRequest, _context: Any
    ) -> pb.RollServiceResponse:
        """Update one (VER-6 to VER-8)."""
        parse(request.version)
        command: tuple[str, ...] = ()
        if request.command:
            try:
                command = command_of(request.name, request.command)
            except ConfigError as error:
                raise InvalidArgumentError(Violation("command", str(error))) from error
        unit = await self._supervisor.update(request.name, request.version, command)
        return pb.RollServiceResponse(service=info(Known.of(unit)))


def info(known: Known) -> pb.ServiceInfo:
    """Return what is known of a service, as a message."""
    seen = known.seen
    told = pb.ServiceInfo(
        name=known.name,
        unix_socket=str(seen.place.path or ""),
        tcp_address=seen.place.tcp_address,
        pid=seen.pid,
        health=HEALTH[seen.answer],
        state=pb.ServiceState.Value(f"SERVICE_STATE_{seen.state.name}"),
        version=seen.place.version,
        restarts=seen.restarts,
        detail=seen.detail,
    )
    if known.last_check is not None:
        told.last_check.FromNanoseconds(int(known.last_check * 1e9))
    if (successor := seen.successor) is not None:
        told.successor.version = successor.place.version
        told.successor.unix_socket = str(successor.place.path or "")
        told.successor.pid = successor.pid
        told.successor.health = HEALTH[successor.answer]
    return told
