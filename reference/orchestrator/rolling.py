"""Rolling updates: the new version serves before the old one goes (document: Rolling Updates)."""

import asyncio
import signal
from contextlib import suppress

from ..mesh.errors import AbortedError, FailedPreconditionError
from ..mesh.telemetry.logging import logger
from .checks import Answer, Place
from .child import Child
from .lifecycle import State
from .unit import MARGIN, READY_POLL, Successor, Unit, command_line, remove_stale


def refuse(unit: Unit, version: str) -> None:
    """Refuse an update that cannot be made.

    Raises:
        FailedPreconditionError: says why.
    """
    name = unit.service.name
    if unit.state is not State.RUNNING:
        raise FailedPreconditionError(f"{name} is not running")
    if unit.seen.place.version == version:
        raise FailedPreconditionError(f"{name} runs in version {version} already")
    if unit.service.tcp_address:
        raise FailedPreconditionError(f"{name} listens at a port, which two processes cannot share")
    if unit.service.unix_socket is not None:
        raise FailedPreconditionError(f"services.{name}.unix_socket gives it but one socket")


async def roll(unit: Unit, version: str, command: tuple[str, ...]) -> None:
    """Update a running service to another version.

    Raises:
        AbortedError: the new version did not come to serve, and is gone again.
    """
    name, old = unit.service.name, unit.child
    place = Place.of(unit.service, version, unit.settings.socket_dir)
    try:
        child = await Child.spawn(
            command_line(command, unit.settings, version), unit.service.limits
        )
    except OSError as error:
        raise AbortedError(f"{version} was not started: {command[0]}: {error.strerror}") from error
    unit.keeping.add(child.pid)
    child.begin()
    unit.note(successor=Successor(place, child.pid, None))
    if why := await _problem(unit, old, child, place):
        await _roll_back(unit, child, place)
        logger().error(f"{name}: {version} was rolled back: {why}", name=name)
        raise AbortedError(f"{version} was rolled back: {why}")
    unit.adopt(child, place, command)
    logger().info("updated", name=name, version=version)
    if old is not None:
        # Whoever attends to it tidies up behind it.
        await old.end(unit.settings.grace_period + MARGIN)
        await old.ended()


async def _problem(unit: Unit, old: Child | None, child: Child, place: Place) -> str:
    """Wait until the new version serves beside the old one; return why it does not, if so."""
    ended = asyncio.create_task(child.ended())
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(unit.settings.start_timeout):
                while not ended.done():
                    answer, pid = await unit.checks.ask(place, child)
                    if unit.state is not State.RUNNING or unit.child is not old:
                        return f"the old one is {unit.state} meanwhile"
                    unit.note(successor=Successor(place, pid or child.pid, answer))
                    if answer is Answer.SERVING:
                        return ""
                    await asyncio.sleep(READY_POLL)
                return f"its process {ended.result()}"
        return f"not SERVING within {unit.settings.start_timeout:g} s"
    finally:
        ended.cancel()


async def _roll_back(unit: Unit, child: Child, place: Place) -> None:
    child.signal_group(signal.SIGKILL)
    await child.ended()
    unit.keeping.discard(child.pid)
    remove_stale(place, child)
    unit.note(successor=None)
