"""Processes: from their start to SERVING, and from SIGKILL to SERVING again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from blackhole.orchestrator.v1 import orchestrator_pb2 as pb
from conformance.harness.service import ServedProcess

from .arms import UNIX
from .asking import Case, Question
from .served import START_TIMEOUT, MeasuredNode

LOOK = 0.001
"""Seconds between two looks at a socket that is not there yet."""

BACKOFF = 0.01
"""Seconds before a restart; by default it is a second, which would be all that is measured."""

SETTINGS: dict[str, Any] = {
    "orchestrator": {
        "restart_backoff": f"{BACKOFF}s",
        "max_restart_backoff": f"{BACKOFF}s",
        # However often it is killed, it is started again.
        "restart_reset": "0.001s",
    },
    "services": {"identity": {}},
}


@pytest.fixture
async def alone(node: MeasuredNode) -> AsyncIterator[MeasuredNode]:
    """Another node, to start processes in."""
    beside = node.beside()
    yield beside
    await beside.close()


async def test_start(alone: MeasuredNode, question: Question) -> None:
    """The identity service, from the start of its process to the first SERVING."""
    case = Case("start", "identity", unit="starts")

    async def start() -> Callable[[], Awaitable[object]]:
        service = alone.begin()
        async with asyncio.timeout(START_TIMEOUT):
            await serving(service)
        return service.stop

    await question.tell_async(case, lambda: {UNIX: start}, UNIX)


async def test_recovery(alone: MeasuredNode, question: Question) -> None:
    """The identity service under the orchestrator, from SIGKILL to RUNNING in another process."""
    if "orchestrator" not in alone.implementation.profiles:
        pytest.skip("NOT RUN: the implementation does not claim orchestrator")
    case = Case("recovery", "identity", unit="kills")
    orchestrator = await alone.orchestrated(SETTINGS)

    async def kill() -> None:
        before = (await orchestrator.get("identity")).pid
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(START_TIMEOUT):
            while not again(await orchestrator.get("identity"), before):  # noqa: ASYNC110 - as often as it takes
                await asyncio.sleep(LOOK)

    await question.tell_async(case, lambda: {UNIX: kill}, UNIX)


def again(told: Any, before: int) -> bool:
    """Tell whether a service runs in another process than before."""
    return bool(told.state == pb.SERVICE_STATE_RUNNING and told.pid not in (0, before))


async def serving(service: ServedProcess) -> None:
    """Wait until a process that was just started serves."""
    while not (service.accepts() and await service.serving()):
        assert service.process.alive, service.process.story()
        await asyncio.sleep(LOOK)
