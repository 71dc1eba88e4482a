"""HealthChecker: asks an endpoint whether it serves (document: Dynamic Service Registry)."""

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from .channels import PLAINTEXT, Channels
from .endpoints import ServiceEndpoint
from .health import CHECK, SERVING


class HealthChecker:
    """Asks by grpc.health.v1, each time over a new connection.

    Args:
        timeout: seconds for connection and answer together.
        channels: makes them; as configured for the calls.
    """

    def __init__(self, timeout: float, channels: Channels = PLAINTEXT) -> None:
        """Nothing is connected before the first question."""
        self._timeout = timeout
        self._channels = channels
        self._options = (
            # A connection of its own, and an answer at once: the registry asks again by itself.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            # Bounds the connecting, which else goes on for 20 s after its channel was closed.
            ("grpc.min_reconnect_backoff_ms", max(1, round(timeout * 1000))),
        )

    def __repr__(self) -> str:
        """Show the bound."""
        return f"HealthChecker(timeout={self._timeout})"

    async def __call__(self, endpoint: ServiceEndpoint) -> bool:
        """Tell whether an endpoint says SERVING for its service."""
        return await self.ask(endpoint) == SERVING

    async def ask(self, endpoint: ServiceEndpoint) -> int | None:
        """Return what an endpoint says for its service; None when that is nothing."""
        async with self._channels.open(endpoint.address, self._options) as channel:
            # Read here: where gRPC cannot read an answer, it prints so and gives none.
            ask: Any = channel.unary_unary(
                CHECK, request_serializer=health_pb2.HealthCheckRequest.SerializeToString
            )
            request = health_pb2.HealthCheckRequest(service=endpoint.name)
            try:
                answer = await ask(request, timeout=self._timeout)
                return int(health_pb2.HealthCheckResponse.FromString(answer).status)
            except (grpc.aio.AioRpcError, DecodeError):
                return None
