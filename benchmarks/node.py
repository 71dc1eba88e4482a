"""A node under the orchestrator of the reference, for benchmarks of it."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc

from blackhole.orchestrator.v1 import orchestrator_pb2 as pb
from blackhole.orchestrator.v1 import orchestrator_pb2_grpc

from .series import Spread

BOUND = 60.0
"""Seconds in which whatever is waited for happens, or something is broken."""

LOOK = 0.001
"""Seconds between two looks at a socket that is not there yet."""

BUSY = "while True: pass"

RUNNING = pb.SERVICE_STATE_RUNNING


def write(directory: Path, services: Mapping[str, Any], **settings: Any) -> Path:
    """Write the configuration of a node; return the file."""
    file = directory / "node.json"
    usual = {"socket_dir": str(directory / "s"), "data_dir": str(directory / "d")}
    file.write_text(json.dumps(usual | {"services": services} | settings), encoding="utf-8")
    return file


@contextmanager
def process(file: Path, role: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a role of the reference, which is stopped at the end; its log is beside the file."""
    command = (sys.executable, "-m", "reference", role, "--config", str(file))
    with (file.parent / "log").open("ab") as log, subprocess.Popen(command, stderr=log) as running:
        try:
            yield running
        finally:
            ended = running.poll()
            running.terminate()
            running.wait(BOUND)
    if ended is not None:
        raise RuntimeError(f"{role} ended with {ended}: {(file.parent / 'log').read_text()}")


@asynccontextmanager
async def calling(file: Path, role: str) -> AsyncIterator[Any]:
    """Give a channel to a role, once its socket is there."""
    socket = file.parent / "s" / f"{role}.sock"
    async with asyncio.timeout(BOUND):
        while not socket.exists():  # noqa: ASYNC110 - as often as it takes
            await asyncio.sleep(LOOK)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"unix:{socket}", options=options) as channel:
        yield channel


class Watched:
    """What an orchestrator tells of its services as they change."""

    def __init__(self, channel: Any) -> None:
        """Begin to follow."""
        self._stub: Any = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
        self._changes = self._stub.WatchServices(pb.WatchServicesRequest())
        self.now: dict[str, Any] = {}
        """What was told last of each service."""

    def __repr__(self) -> str:
        """Show the states."""
        return f"Watched({ {name: one.state for name, one in self.now.items()} })"

    async def until(self, fact: Callable[[dict[str, Any]], bool]) -> float:
        """Follow until a fact is told; return when, on the monotonic clock."""
        async with asyncio.timeout(BOUND):
            while not fact(self.now):
                told = (await self._changes.read()).service
                self.now[told.name] = told
        return time.monotonic()

    async def all_run(self, names: Sequence[str]) -> float:
        """Wait until services run; return when."""
        return await self.until(
            lambda now: all(name in now and now[name].state == RUNNING for name in names)
        )


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Have the CPUs busy with something else."""
    running = [subprocess.Popen((sys.executable, "-c", BUSY)) for _ in range(loops)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def millis(values: Sequence[float]) -> str:
    """Return median and range of times, in ms."""
    return Spread.of([value * 1000 for value in values]).text(0)
