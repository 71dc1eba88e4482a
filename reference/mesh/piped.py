"""A gRPC server whose handlers all stand behind the pipeline."""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc

from .pipeline import Pipeline


class PipedServer(grpc.aio.Server):
    """gRPC's server, but that what is added to it is added to the pipeline.

    Args:
        server: grpc.aio's, which knows the pipeline alone.
        pipeline: what answers.
    """

    def __init__(self, server: grpc.aio.Server, pipeline: Pipeline) -> None:
        """Start with no handler."""
        self._server = server
        self._pipeline = pipeline

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Add handlers; generated code calls this."""
        self._pipeline.add(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Do nothing: generated code calls this too, with the handlers that it has just added."""

    def add_insecure_port(self, address: str) -> int:
        """Listen at an address; return its port."""
        return int(self._server.add_insecure_port(address))

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """Listen at an address with TLS; return its port."""
        return int(self._server.add_secure_port(address, server_credentials))

    async def start(self) -> None:
        """Serve from now on."""
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Stop as gRPC's does, and leave no call that the stages have not heard of."""
        await self._server.stop(grace)
        self.settle()

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait for its end, for so many seconds at most; tell whether it is still to come."""
        return bool(await self._server.wait_for_termination(timeout))

    def settle(self) -> None:
        """Let the stages know of every call that has ended, now."""
        self._pipeline.settle()
