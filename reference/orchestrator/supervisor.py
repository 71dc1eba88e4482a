"""Supervisor: the services of a node, in the order of what they depend on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from ..config.orchestrator import OrchestratorSettings
from ..mesh.errors import AbortedError, FailedPreconditionError, NotFoundError
from .checks import Checks
from .keeping import Keeping
from .lifecycle import Event, State
from .orphans import end_orphans
from .rolling import refuse, roll
from .unit import Unit


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
        self._followers: set[asyncio.Queue[Unit | None]] = set()

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
        return all(
            unit.state in (State.RUNNING, State.FAILED, State.STOPPED) for unit in self.units
        )

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

    async def stop(self) -> None:
        """Stop every service, each before those that it depends on."""
        self._stopping = True
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
        for follower in self._followers:
            follower.put_nowait(None)

    async def follow(self) -> AsyncIterator[Unit]:
        """Yield every service at once, then each one that has changed; ends with the node."""
        queue: asyncio.Queue[Unit | None] = asyncio.Queue()
        self._followers.add(queue)
        try:
            for unit in self.units:
                yield unit
            while (changed := await queue.get()) is not None:
                yield changed
        finally:
            self._followers.discard(queue)

    async def restart(self, name: str) -> Unit:
        """Stop a service and start it anew.

        Raises:
            NotFoundError: it is not configured.
            FailedPreconditionError: somebody else changes it just now.
            AbortedError: it does not come to run.
        """
        with self._alone(name) as unit:
            await unit.stop()
            unit.start_anew()
            if await unit.comes_to(State.RUNNING, State.FAILED, State.STOPPED) is State.RUNNING:
                return unit
            raise AbortedError(f"{name} does not run: {unit.seen.detail}")

    async def halt(self, name: str) -> Unit:
        """Stop a service until it is restarted.

        Raises:
            NotFoundError, FailedPreconditionError: as `restart`.
        """
        with self._alone(name) as unit:
            await unit.stop()
            return unit

    async def update(self, name: str, version: str, command: tuple[str, ...]) -> Unit:
        """Update a service to another version.

        Raises:
            NotFoundError, FailedPreconditionError: as `restart`; or it cannot be updated.
            AbortedError: it was rolled back.
        """
        with self._alone(name) as unit:
            refuse(unit, version)
            await roll(unit, version, command or unit.command)
            return unit

    @contextmanager
    def _alone(self, name: str) -> Iterator[Unit]:
        unit = self.unit(name)
        if self._stopping:
            raise FailedPreconditionError("the node is stopping")
        if unit.busy:
            raise FailedPreconditionError(f"{name} is being changed by somebody else")
        unit.busy = True
        try:
            yield unit
        finally:
            unit.busy = False

    def _changed(self, unit: Unit) -> None:
        for follower in self._followers:
            follower.put_nowait(unit)
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
