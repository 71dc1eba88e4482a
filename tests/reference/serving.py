"""Services of the reference under test: in this process, or as processes that can be killed."""

import asyncio
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2_grpc

from reference import cli
from reference.config.service import load
from reference.mesh.errors import DETAILS
from reference.mesh.health import Health, HealthServicer
from reference.mesh.server import make_server, stages_of

SOON = 20.0
"""Seconds until a test gives up waiting for a fact; most take 10 ms, and both cores may be busy."""


@dataclass
class Node:
    """A directory with a short path, with the configuration, the sockets and the data."""

    root: Path
    settings: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The configuration as it is now."""
        path = self.root / "node.json"
        directories = {"socket_dir": str(self.root / "s"), "data_dir": str(self.root / "d")}
        path.write_text(json.dumps(directories | self.settings))
        return path

    def data(self, name: str) -> Path:
        """Return where a service keeps what it keeps."""
        return self.root / "d" / name

    def socket(self, name: str) -> Path:
        """Return the socket of a service."""
        return self.root / "s" / f"{name}.sock"

    @asynccontextmanager
    async def serving(self, *names: str) -> AsyncIterator[Any]:
        """Serve in this process; give a channel to the last one, and its service."""
        async with AsyncExitStack() as stack:
            for name in names:
                channel = await stack.enter_async_context(self._serving(name))
            yield channel

    @asynccontextmanager
    async def _serving(self, name: str) -> AsyncIterator[Any]:
        settings = load(self.file, name)
        assert settings.socket
        settings.socket.parent.mkdir(exist_ok=True)
        process = importlib.import_module(cli.SERVICES[name])
        health = Health(name)
        async with process.opened(settings, health) as service:
            server = make_server(settings, stages_of(settings))
            service.add_to(server)
            health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
            server.add_insecure_port(f"unix:{settings.socket}")
            await server.start()
            try:
                async with connected(settings.socket) as channel:
                    channel.service = service
                    yield channel
            finally:
                service.drain()
                await server.stop(SOON)

    @asynccontextmanager
    async def spawned(self, name: str, **how: Any) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a service as a process, until it accepts; it is killed at the end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "reference", "service", name, "--config", str(self.file)),
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
            **how,
        )
        try:
            await accepts(self.socket(name), process)
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.communicate()


@contextmanager
def short_node(**settings: Any) -> Iterator[Node]:
    """Give a node whose paths fit into a socket's address, as those of tmp_path may not."""
    root = Path(tempfile.mkdtemp(prefix="bh"))
    try:
        yield Node(root, settings)
    finally:
        shutil.rmtree(root)


async def accepts(socket: Path, process: asyncio.subprocess.Process) -> None:
    """Wait until a process accepts at its socket."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(socket)
            except OSError:
                assert process.returncode is None, "it does not start"
                await asyncio.sleep(0.005)
            else:
                writer.close()
                return


@asynccontextmanager
async def connected(socket: Path) -> AsyncIterator[Any]:
    """Give a channel of its own to a socket."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(f"unix:{socket}", options=options) as channel:
        yield channel


async def refusal(call: Any) -> tuple[str, str, list[str]]:
    """Return code, message and named fields of a call that fails, whatever its kind."""
    try:
        if hasattr(call, "__aiter__") and not hasattr(call, "__await__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or "", fields(error)
    raise AssertionError("the call succeeded")


def fields(error: grpc.aio.AioRpcError) -> list[str]:
    """Return the fields that a refusal names."""
    found = []
    for name, value in error.trailing_metadata() or ():
        if name == DETAILS and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                bad = error_details_pb2.BadRequest()
                if detail.Unpack(bad):
                    found += [violation.field for violation in bad.field_violations]
    return found
