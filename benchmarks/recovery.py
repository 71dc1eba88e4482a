"""How soon a service is there again: `python -m benchmarks.recovery`.

The four services of the reference run under its orchestrator. The identity service is killed by
SIGKILL, stopped by SIGSTOP, and the whole node is started anew, again and again; told are the
times at which the orchestrator tells of each change, with two idle CPUs and with two busy ones.
The delay before a restart is 10 ms here; by default it is 1 s, which comes on top.
"""

import argparse
import asyncio
import os
import platform
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from blackhole.orchestrator.v1 import orchestrator_pb2 as pb
from reference.mesh.health import CHECK, SERVING

from .node import BOUND, Watched, busy, calling, millis, process, write

VICTIM = "identity"

SERVICES: dict[str, Any] = {
    "identity": {},
    "events": {},
    "ledger": {},
    "storage": {"dependencies": ["identity", "ledger"]},
}

BACKOFF, INTERVAL, TIMEOUT = 0.01, 0.5, 0.5
"""Seconds: before a restart, between checks, and for one of them."""

SETTINGS: dict[str, Any] = {
    "health": {"interval": f"{INTERVAL}s", "timeout": f"{TIMEOUT}s"},
    "orchestrator": {
        "restart_backoff": f"{BACKOFF}s",
        "max_restart_backoff": f"{BACKOFF}s",
        # However often it is killed, it is started again.
        "restart_reset": "0.001s",
        "start_timeout": f"{BOUND}s",
    },
}

LOADS = {"idle": 0, "two busy loops": 2}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--starts", type=int, default=20)
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"grpcio {grpc.__version__}; ms: median (least-most)"
    )
    asyncio.run(report(options.kills, options.stops, options.starts))


async def report(kills: int, stops: int, starts: int) -> None:
    """Measure all there is, and print it."""
    for load, loops in LOADS.items():
        print(f"\n{load}")
        with busy(loops), tempfile.TemporaryDirectory(prefix="bh") as directory:
            file = write(Path(directory), SERVICES, **SETTINGS)
            with process(file, "orchestrator"):
                await heal(file, kills, stops)
        with busy(loops):
            await start(starts)


async def heal(file: Path, kills: int, stops: int) -> None:
    """Kill and stop a service of a node that runs, and print how long it was gone."""
    async with calling(file, "orchestrator") as channel:
        watched = Watched(channel)
        await watched.all_run(list(SERVICES))
        killed = [await struck(file, watched, signal.SIGKILL) for _ in range(kills)]
        tell(f"{kills} times SIGKILL", killed, {"noticed": 0, "started": 1, "SERVING": 2})
        stopped = []
        for number in range(stops):
            # At every part of the interval alike.
            await asyncio.sleep(INTERVAL * number / stops)
            stopped.append(await struck(file, watched, signal.SIGSTOP))
        bound = (INTERVAL + TIMEOUT) * 1000
        rows = {f"killed (bound: {bound:.0f})": 0, "started": 1, "SERVING": 2}
        tell(f"{stops} times SIGSTOP", stopped, rows)


async def struck(file: Path, watched: Watched, number: signal.Signals) -> list[float]:
    """Strike a process; return the seconds until it is noticed, replaced, and answers again."""
    before = watched.now[VICTIM].pid
    began = time.monotonic()
    os.kill(before, number)

    def state(*states: int) -> Any:
        return lambda now: now[VICTIM].state in states

    gone = await watched.until(state(pb.SERVICE_STATE_BACKING_OFF))
    begun = await watched.until(state(pb.SERVICE_STATE_STARTING))
    await watched.until(state(pb.SERVICE_STATE_RUNNING))
    await answers(file)
    serves = time.monotonic()
    if watched.now[VICTIM].pid in (0, before):
        raise RuntimeError("no other process is told")
    return [when - began for when in (gone, begun, serves)]


async def answers(file: Path) -> None:
    """Make sure that the service says SERVING to others, too."""
    socket = file.parent / "s" / f"{VICTIM}.sock"
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        ask: Any = channel.unary_unary(CHECK)
        status = await ask(b"", timeout=BOUND)
    if status != bytes((8, SERVING)):
        raise RuntimeError(f"{VICTIM} says {status!r}")


async def start(starts: int) -> None:
    """Start whole nodes, and print how long they take and where the time goes."""
    found = []
    for _ in range(starts):
        with tempfile.TemporaryDirectory(prefix="bh") as directory:
            file = write(Path(directory), SERVICES, **SETTINGS)
            began = time.monotonic()
            with process(file, "orchestrator"):
                async with calling(file, "orchestrator") as channel:
                    there = time.monotonic()
                    watched = Watched(channel)
                    first = await watched.all_run(["identity", "ledger"])
                    whole = await watched.all_run(list(SERVICES))
            found.append([when - began for when in (there, first, whole)])
    rows = {"the orchestrator answers": 0, "identity and ledger run": 1, "all run": 2}
    tell(f"{starts} starts of the node", found, rows)
    last = [whole - first for _, first, whole in found]
    print(f"  {'storage, which waits for both':32}{millis(last):>20}")


def tell(title: str, found: Sequence[Sequence[float]], rows: Mapping[str, int]) -> None:
    """Print a row a moment."""
    print(f" {title}, until")
    for name, column in rows.items():
        print(f"  {name:32}{millis([each[column] for each in found]):>20}")


if __name__ == "__main__":
    main()
