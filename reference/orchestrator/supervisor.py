"""Supervisor: the services of a node, in the order of what they depend on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from ..config.orchestrator import OrchestratorSettings
from ..mesh.errors import (
    AbortedError,
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from ..services.inbox import Inbox
from .checks import Checks
from .keeping import Keeping
from .lifecycle import SETTLED, Event, State
from .orphans import end_orphans
from .rolling import refuse, roll
from .unit import Seen, Unit

UNREAD = 1000
"""Changes that are kept for one who follows and does not read."""


@dataclass(frozen=True, slots=True)
class Known:
    """A service, as it was at some moment."""

    name: str
    seen: Seen
    last_check: float | None
    """Seconds since the epoch."""

    @classmethod
    def of(cls, unit: Unit) -> "Known":
        """Return what is known of a service now."""
        return cls(unit.service.name, unit.seen, unit.last_check)


class Supervisor:
    """Starts the services of a node, and keeps them running.

    Args:
        settings: of the node.
        keeping: ends them when this process is gone.
    """

    def __init__(self, settings: OrchestratorSettings, keeping: Keeping) -> None:
        """Nothing is started before `start`."""
        checks = Checks(settings)
        self._settings = settings
        self._units = {
            service.name: Unit(service, settings, checks, keeping, self._changed)
            for service in settings.services
        }
        self._stopping = False
        self._followers: set[Inbox[Known]] = set()
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        """Show the services."""
        return f"Supervisor({list(self._units.values())})"

    @property
    def units(self) -> list[Unit]:
        """All services, by name."""
        return [self._units[name] for name in sorted(self._units)]

    @property
    def settled(self) -> bool:
        """Whether every service runs, or will not."""
        return all(unit.state in SETTLED for unit in self.units)

    def unit(self, name: str) -> Unit:
        """Return a service.

        Raises:
            NotFoundError: it is not configured.
        """
        if name not in self._units:
            raise NotFoundError(f"there is no service {name[:80]!r}")
        return self._units[name]

    async def start(self) -> None:
        """End what an orchestrator before this one left running; start what waits for nobody."""
        await end_orphans(self._settings)
        for unit in self._units.values():
            self._let_start(unit)

    def drain(self) -> None:
        """Begin no more changes, and let those who follow go."""
        self._stopping = True
        for follower in self._followers:
            follower.end(UnavailableError("the service is draining"))

    async def stop(self) -> None:
        """Stop every service, each before those that it depends on."""
        self.drain()
        dependents = {
            name: [other for other in self._units.values() if name in other.service.dependencies]
            for name in self._units
        }

        async def stop(unit: Unit) -> None:
            for other in dependents[unit.service.name]:
                await other.comes_to(State.STOPPED)
            await unit.stop()
            await unit.close()

        await asyncio.gather(*(stop(unit) for unit in self._units.values()))

    async def follow(self) -> AsyncIterator[Known]:
        """Yield every service as it is, then each change in order.

        Raises:
            UnavailableError: the node stops.
            ResourceExhaustedError: whoever follows does not read.
        """
        inbox: Inbox[Known] = Inbox(UNREAD)
        self._followers.add(inbox)
        try:
            for known in [Known.of(unit) for unit in self.units]:
                yield known
            async for known in inbox:
                yield known
        finally:
            self._followers.discard(inbox)

    async def changes(self) -> AsyncIterator[None]:
        """Yield at once, and after changes; several may be told together."""
        while True:
            news = self._news
            yield
            await news.wait()

    async def restart(self, name: str) -> Unit:
        """Stop a service and start it anew.

        Raises:
            NotFoundError: it is not configured.
            FailedPreconditionError: somebody else changes it just now.
            AbortedError: it does not come to run.
        """

        async def restart(unit: Unit) -> None:
            await unit.stop()
            if self._stopping:
                raise _stopping()
            unit.start_anew()
            if await unit.comes_to(*SETTLED) is not State.RUNNING:
                raise AbortedError(f"{name} does not run: {unit.seen.detail}")

        return await self._alone(name, restart)

    async def halt(self, name: str) -> Unit:
        """Stop a service until it is restarted.

        Raises:
            NotFoundError, FailedPreconditionError: as `restart`.
        """
        return await self._alone(name, Unit.stop)

    async def update(self, name: str, version: str, command: tuple[str, ...]) -> Unit:
        """Update a service to another version.

        Raises:
            NotFoundError, FailedPreconditionError: as `restart`; or it cannot be updated.
            AbortedError: it was rolled back.
        """

        async def update(unit: Unit) -> None:
            refuse(unit, version)
            await roll(unit, version, command or unit.command)

        return await self._alone(name, update)

    async def _alone(self, name: str, change: Callable[[Unit], Coroutine[Any, Any, None]]) -> Unit:
        """Change a service as nobody else does meanwhile; its caller may leave before the end."""
        unit = self.unit(name)
        if self._stopping:
            raise _stopping()
        if unit.busy:
            raise FailedPreconditionError(f"{name} is being changed by somebody else")

        async def alone() -> None:
            try:
                await change(unit)
            finally:
                unit.busy = False

        unit.busy = True
        await asyncio.shield(unit.go_on(alone()))
        return unit

    def _changed(self, unit: Unit) -> None:
        known = Known.of(unit)
        for follower in self._followers:
            if not follower.put(known):
                follower.end(ResourceExhaustedError("changes were not read in time"))
        news, self._news = self._news, asyncio.Event()
        news.set()
        for other in self._units.values():
            self._let_start(other)

    def _let_start(self, unit: Unit) -> None:
        if unit.state is not State.WAITING or self._stopping:
            return
        missing = [
            name
            for name in unit.service.dependencies
            if self._units[name].state is not State.RUNNING
        ]
        if missing:
            unit.note(detail=f"waits for {', '.join(missing)}")
        else:
            unit.post(Event.DEPENDENCIES_RUN)


def _stopping() -> FailedPreconditionError:
    return FailedPreconditionError("the node is stopping")
