"""Health: one truth, asked by Check and pushed to every Watch.

Document: Comprehensive Health Checks.
Both `grpc.health.v1` and the service's own Check answer from here (IDN-13).
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from .errors import UnavailableError

_NAMES: Any = health_pb2.HealthCheckResponse.ServingStatus

CHECK = "/grpc.health.v1.Health/Check"
"""The method that asks for it."""

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """Whether a process serves, under the empty name and its own.

    Args:
        name: the service.
    """

    def __init__(self, name: str) -> None:
        """Start SERVING."""
        self.names = frozenset(("", name))
        self._status: int = SERVING
        self._draining = False
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        """Show the status."""
        return f"Health({_NAMES.Name(self._status)}, draining={self._draining})"

    def status(self, name: str) -> int:
        """Return what a Check for a name says now."""
        return self._status if name in self.names else SERVICE_UNKNOWN

    def set(self, status: int) -> None:
        """Change the status, and tell every Watch; while draining it stays NOT_SERVING."""
        if status != self._status and not self._draining:
            self._status = status
            self._tell()

    def drain(self) -> None:
        """Turn NOT_SERVING for good, and end every Watch once it has said so."""
        self._draining = True
        self._status = NOT_SERVING
        self._tell()

    async def watch(self, name: str) -> AsyncIterator[int]:
        """Yield the present status at once, then each change.

        Raises:
            UnavailableError: the service drains; the last status was told before.
        """
        told: int | None = None
        while True:
            changed = self._changed
            if (status := self.status(name)) != told:
                told = status
                yield status
            elif self._draining:
                raise UnavailableError("the service is draining")
            else:
                await changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class HealthServicer(health_pb2_grpc.HealthServicer):
    """grpc.health.v1.Health."""

    def __init__(self, health: Health) -> None:
        """Answer from `health`."""
        self._health = health

    async def Check(  # noqa: N802 - the method's name
        self, request: health_pb2.HealthCheckRequest, _context: Any
    ) -> health_pb2.HealthCheckResponse:
        """Say the status now; an unknown name is an answer, not an error (HLT-2)."""
        return health_pb2.HealthCheckResponse(status=self._health.status(request.service))

    async def List(  # noqa: N802 - the method's name
        self, _request: Any, _context: Any
    ) -> Any:
        """Say the status of every name."""
        return health_pb2.HealthListResponse(  # type: ignore[attr-defined] # newer than its types
            statuses={
                name: health_pb2.HealthCheckResponse(status=self._health.status(name))
                for name in self._health.names
            }
        )

    async def Watch(  # noqa: N802 - grpc.aio's stream is an iterator
        self, request: health_pb2.HealthCheckRequest, _context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Say the status now and at each change (HLT-3, HLT-4)."""
        async for status in self._health.watch(request.service):
            yield health_pb2.HealthCheckResponse(status=status)
