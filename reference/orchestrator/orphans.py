"""Services that an orchestrator left running which is gone (ORC-8)."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..config.orchestrator import OrchestratorSettings
from ..mesh.directory import listener
from ..mesh.telemetry.logging import logger
from .unit import MARGIN


async def end_orphans(settings: OrchestratorSettings) -> None:
    """End whoever listens where services of this node will, so that each has but one process."""
    left = sorted(set(_listeners(settings)))
    if not left:
        return
    logger().warning("ending what an orchestrator before this one left running", pids=left)
    await asyncio.gather(*(_end(pid, settings.grace_period + MARGIN) for pid in left))


def _listeners(settings: OrchestratorSettings) -> Iterator[int]:
    for path in _sockets(settings):
        with suppress(OSError):
            if pid := listener(path):
                yield pid


def _sockets(settings: OrchestratorSettings) -> Iterator[Path]:
    names = {service.name for service in settings.services}
    for path in settings.socket_dir.glob("*.sock"):
        if path.stem.partition("@")[0] in names:
            yield path
    for service in settings.services:
        if service.unix_socket is not None:
            yield service.unix_socket


async def _end(pid: int, grace: float) -> None:
    """End a process by SIGTERM, and by SIGKILL when it takes longer than `grace`; then its group.

    One that leads no group was started by hand: whoever started it has that group too.
    """
    try:
        leads = os.getpgid(pid) == pid
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        async with asyncio.timeout(grace):
            await gone.wait()
    except TimeoutError:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        await gone.wait()
    except ProcessLookupError:
        return
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        if leads:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
