"""Whether updates lose calls: `python -m benchmarks.rolling`.

A service behind the pipeline of the reference runs under its orchestrator, and is called 200 times
a second through its mesh client (`reference driver`) while it is updated from version to version.
Then while updates to a version that never comes to serve are rolled back. With retries as they are
by default, and with none: each attempt counts then. Exits with 1 if a call fails.
"""

import argparse
import asyncio
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from google.rpc import code_pb2

from blackhole.conformance.v1 import driver_pb2, driver_pb2_grpc, probe_pb2
from blackhole.orchestrator.v1 import orchestrator_pb2 as pb
from blackhole.orchestrator.v1 import orchestrator_pb2_grpc
from reference.config.service import load
from reference.mesh import server
from reference.mesh.health import NOT_SERVING, Health

from .node import BOUND, Watched, calling, millis, process, write

NAME = "probe"

EVERY = 0.005
"""Seconds from one call to the next: 200 a second."""

COMMAND = (sys.executable, "-m", "benchmarks.rolling")

SETTINGS: dict[str, Any] = {
    "health": {"interval": "1s", "timeout": "1s"},
    # How long a version has that never serves.
    "orchestrator": {"start_timeout": "3s"},
}

RETRIES: dict[str, dict[str, Any]] = {
    "3 attempts a call, as by default": {},
    "one attempt a call": {"retry": {"max_attempts": 1}},
}


class Probe:
    """Answers with the payload, and takes a little while: calls are in flight at any moment."""

    full_names = (probe_pb2.DESCRIPTOR.services_by_name["Probe"].full_name,)

    def add_to(self, grpc_server: Any) -> None:
        """Register it."""
        unary = grpc.unary_unary_rpc_method_handler(
            self.echo,
            request_deserializer=probe_pb2.UnaryRequest.FromString,
            response_serializer=probe_pb2.UnaryResponse.SerializeToString,
        )
        methods = {"Unary": unary}
        handler = grpc.method_handlers_generic_handler(self.full_names[0], methods)
        grpc_server.add_generic_rpc_handlers((handler,))

    def drain(self) -> None:
        """Every call ends by itself."""

    async def echo(self, request: Any, _context: Any) -> Any:
        """Answer with the payload."""
        await asyncio.sleep(0.02)
        return probe_pb2.UnaryResponse(payload=request.payload)


def serve(config: Path, version: str, *, never: bool) -> int:
    """Be the service that is updated."""

    @asynccontextmanager
    async def opened(_settings: Any, health: Health) -> AsyncIterator[Probe]:
        if never:
            health.set(NOT_SERVING)
        yield Probe()

    return server.run(load(config, NAME, version), opened)


class Load:
    """Calls that are made all the while, and how they ended."""

    def __init__(self, driver: Any) -> None:
        """Make no call yet."""
        self._stub: Any = driver_pb2_grpc.DriverStub(driver)
        self._calls: set[asyncio.Task[None]] = set()
        self.codes: Counter[str] = Counter()
        self.seconds: list[float] = []

    def __repr__(self) -> str:
        """Show how calls ended."""
        return f"Load({dict(self.codes)})"

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Call in a with block, at whose end every call has ended."""
        over = asyncio.Event()
        going = asyncio.create_task(self._go_on(over))
        try:
            yield
        finally:
            over.set()
            await going
            await asyncio.gather(*self._calls)

    async def _go_on(self, over: asyncio.Event) -> None:
        due = time.monotonic()
        while not over.is_set():
            task = asyncio.create_task(self._call())
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            due += EVERY
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _call(self) -> None:
        request = driver_pb2.CallRequest(
            service=NAME, method=driver_pb2.PROBE_METHOD_UNARY, payloads=[b"x" * 64]
        )
        request.timeout.FromSeconds(int(BOUND))
        began = time.monotonic()
        answer = await self._stub.Call(request, timeout=2 * BOUND)
        self.seconds.append(time.monotonic() - began)
        code = code_pb2.Code.Name(answer.status.code)
        self.codes[f"{code} {answer.status.message}".strip()] += 1


async def report(directory: Path, updates: int, retries: dict[str, Any]) -> int:
    """Update and roll back under load, and print how calls ended; return how many failed."""
    services = {NAME: {"version": "1.0.0", "command": [*COMMAND, "--serve"]}}
    file = write(directory, services, **SETTINGS, **retries)
    with process(file, "orchestrator"), process(file, "driver"):
        async with calling(file, "orchestrator") as channel, calling(file, "driver") as driver:
            await Watched(channel).all_run([NAME])
            orchestrator: Any = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
            load = Load(driver)
            async with load.going_on():
                took = [await update(orchestrator, f"1.{n + 1}.0") for n in range(updates)]
            failed = tell(f"{updates} updates", load, took)
            load = Load(driver)
            async with load.going_on():
                took = [await roll_back(orchestrator, f"2.{n}.0") for n in range(updates)]
            return failed + tell(f"{updates} updates that are rolled back", load, took)


async def update(orchestrator: Any, version: str) -> float:
    """Update the service; return the seconds that it took."""
    began = time.monotonic()
    request = pb.RollServiceRequest(name=NAME, version=version)
    answer = await orchestrator.RollService(request, timeout=BOUND)
    if answer.service.version != version:
        raise RuntimeError(f"{version} is not what runs: {answer}")
    return time.monotonic() - began


async def roll_back(orchestrator: Any, version: str) -> float:
    """Update to a version that never serves; return the seconds until it was rolled back."""
    began = time.monotonic()
    command = (*COMMAND, "--never", "--serve")
    request = pb.RollServiceRequest(name=NAME, version=version, command=command)
    try:
        await orchestrator.RollService(request, timeout=BOUND)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.ABORTED:
            return time.monotonic() - began
        raise
    raise RuntimeError(f"{version} was not rolled back")


def tell(what: str, load: Load, took: list[float]) -> int:
    """Print how calls ended meanwhile; return how many failed."""
    failed = load.codes.total() - load.codes["OK"]
    print(f"  {what}, ms each: {millis(took)}")
    print(f"    {load.codes.total()} calls, {failed} failed; ms each: {millis(load.seconds)}")
    for code, count in load.codes.most_common():
        print(f"    {count:8} {code}")
    return failed


def main() -> None:
    """Measure and print, or with --serve be the service."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--never", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--version", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        sys.exit(serve(options.config, options.version, never=options.never))
    print(f"{platform.machine()}, Python {platform.python_version()}, grpcio {grpc.__version__}")
    print("200 calls a second; median (least-most)")
    failed = 0
    for name, retries in RETRIES.items():
        print(name)
        with tempfile.TemporaryDirectory(prefix="bh") as directory:
            failed += asyncio.run(report(Path(directory), options.updates, retries))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
