"""One service: its life, its process, and what is known of it."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ..config.orchestrator import OrchestratorSettings, Service
from ..mesh.directory import listener
from ..mesh.telemetry.logging import logger
from .checks import Answer, Checks, Place
from .child import Child
from .keeping import Keeping
from .lifecycle import TRANSITIONS, Effect, Event, State

READY_POLL = 0.02
"""Seconds between two checks of a service that starts."""

MARGIN = 1.0
"""Seconds beyond the grace period until a process that was told to stop is killed."""


@dataclass(frozen=True, slots=True)
class Successor:
    """The new version while an update runs."""

    place: Place
    pid: int
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a service; what is not compared changes with each check."""

    state: State
    place: Place
    pid: int
    answer: Answer | None
    """What the last check of this process said; None: there was none."""
    restarts: int
    detail: str
    successor: Successor | None


class Unit:
    """One service.

    Args:
        service: its settings.
        settings: those of the node.
        checks: asks it for its health.
        keeping: is told of its process groups.
        changed: called after each change of what is known of it.
    """

    def __init__(
        self,
        service: Service,
        settings: OrchestratorSettings,
        checks: Checks,
        keeping: Keeping,
        changed: Callable[["Unit"], None],
    ) -> None:
        """Nothing is started before its dependencies run."""
        self.service = service
        self.seen = Seen(
            State.WAITING,
            Place.of(service, service.version, settings.socket_dir),
            pid=0,
            answer=None,
            restarts=0,
            detail="",
            successor=None,
        )
        self.last_check: float | None = None
        """Seconds since the epoch."""
        self.busy = False
        """Whether somebody stops, restarts or updates it."""
        self.command = service.command
        self.child: Child | None = None
        self.settings = settings
        self.checks = checks
        self.keeping = keeping
        self._told = changed
        self._served = False
        self._hopeless = False
        self._restarts = 0
        self._serving_since = 0.0
        self._delay: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        """Show name and state."""
        return f"Unit({self.service.name!r}, {self.seen.state})"

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self.seen.state

    def post(self, event: Event, detail: str = "") -> None:
        """Let something happen.

        Args:
            event: what.
            detail: why, in words; empty: nothing to be said.
        """
        effect, state = TRANSITIONS[self.state, event]
        if effect is Effect.NOTHING and state is self.state:
            return
        logger().info("service", name=self.service.name, state=str(state), reason=detail)
        if self._delay is not None:
            self._delay.cancel()
        self._perform(effect, detail)
        self.note(state=state, detail=detail, restarts=self._restarts)

    def note(self, **changes: Any) -> None:
        """Remember what has changed, and tell whoever follows."""
        before, self.seen = self.seen, replace(self.seen, **changes)
        if self.seen != before:
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
            self._told(self)

    async def comes_to(self, *states: State) -> State:
        """Wait until it is in one of these states; return which."""
        while self.state not in states:
            await self._changed.wait()
        return self.state

    def start_anew(self) -> None:
        """Forget all restarts, and start it once its dependencies run."""
        self._restarts, self._served, self._hopeless = 0, False, False
        self.post(Event.START)

    async def stop(self) -> None:
        """Stop it, and wait until its process is gone."""
        self.post(Event.STOP)
        await self.comes_to(State.STOPPED)

    async def close(self) -> None:
        """Wait for what was begun, once it is stopped."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def adopt(self, child: Child, place: Place, command: tuple[str, ...]) -> None:
        """Let another process, which serves already, take the place of the one that runs."""
        self.child = child
        self.command = command
        if self._watch is not None:
            self._watch.cancel()
        self._serving_since = time.monotonic()
        self._restarts = 0
        self._attend(child, place, self._check_on(child, place))
        self.note(
            place=place, pid=child.pid, answer=Answer.SERVING, restarts=0, detail="", successor=None
        )

    def go_on(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin what goes on beside, whoever stops waiting for it; `close` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _perform(self, effect: Effect, detail: str) -> None:
        match effect:
            case Effect.SPAWN:
                self.go_on(self._spawn())
            case Effect.KILL if self.child is not None:
                if self.seen.answer is Answer.OTHER:
                    self.go_on(self.child.end(self._grace))
                else:
                    # Who does not answer would not hear SIGTERM either.
                    self.child.signal_group(signal.SIGKILL)
            case Effect.TERMINATE if self.child is not None:
                self.go_on(self.child.end(self._grace))
            case Effect.BACK_OFF:
                delay = self.settings.restarts.delay(self._restarts)
                self._restarts += 1
                self._delay = asyncio.get_running_loop().call_later(
                    delay, self.post, Event.DELAY_OVER, detail
                )
            case Effect.GIVE_UP:
                self._give_up(detail)
            case _:
                pass

    @property
    def _grace(self) -> float:
        return self.settings.grace_period + MARGIN

    def _give_up(self, detail: str) -> None:
        logger().error(f"{self.service.name}: FAILED: {detail}", name=self.service.name)

    async def _spawn(self) -> None:
        place = self.seen.place
        command = command_line(self.command, self.settings, place.version)
        try:
            child = await Child.spawn(command, self.service.limits)
        except OSError as error:
            self._has_ended(f"{command[0]}: {error.strerror}")
            return
        self.keeping.add(child.pid)
        child.begin()
        self.child = child
        self._attend(child, place, self._until_it_serves(child, place))
        if self.state is State.STOPPING:
            # It was told to stop before there was anything to be stopped.
            await child.end(self._grace)

    def _attend(self, child: Child, place: Place, watch: Coroutine[Any, Any, None]) -> None:
        self._watch = self.go_on(watch)
        self.go_on(self._until_it_ends(child, place))

    async def _until_it_ends(self, child: Child, place: Place) -> None:
        how = await child.ended()
        self.keeping.discard(child.pid)
        remove_stale(place, child)
        if child is not self.child:
            return
        if self._watch is not None:
            self._watch.cancel()
        self.child = None
        self._forgive()
        self.note(pid=0, answer=None)
        self._has_ended(self.seen.detail if self.state is State.UNHEALTHY else f"its process {how}")

    def _has_ended(self, why: str) -> None:
        used_up = self._restarts >= self.settings.restarts.max_restarts
        self.post(Event.ENDED_FOR_GOOD if used_up or self._hopeless else Event.ENDED, why)

    async def _until_it_serves(self, child: Child, place: Place) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.start_timeout):
                # Nothing announces that a process serves.
                while await self._ask(child, place) is not Answer.SERVING:  # noqa: ASYNC110
                    await asyncio.sleep(READY_POLL)
            self._served = True
            self._serving_since = time.monotonic()
            self.post(Event.SERVES)
            await self._check_on(child, place)
            return
        self._hopeless = not self._served
        self.post(Event.FAILS, f"not SERVING within {self.settings.start_timeout:g} s")

    async def _check_on(self, child: Child, place: Place) -> None:
        """Check it at the interval; say so once it is unhealthy."""
        failures = 0
        now = asyncio.get_running_loop().time
        due = now() + self.settings.health_interval
        while failures < self.settings.failure_threshold:
            await asyncio.sleep(max(0.0, due - now()))
            due += self.settings.health_interval
            answer = await self._ask(child, place)
            failures = 0 if answer is Answer.SERVING else failures + 1
            self._forgive()
        said = "says that it does not serve" if answer is Answer.OTHER else "does not answer"
        self.post(Event.FAILS, f"it {said}")

    async def _ask(self, child: Child, place: Place) -> Answer:
        answer, pid = await self.checks.ask(place, child)
        self.last_check = time.time()
        self.note(answer=answer, **({"pid": pid} if pid else {}))
        return answer

    def _forgive(self) -> None:
        """Count restarts anew after a run that was long enough."""
        running = self.state in (State.RUNNING, State.UNHEALTHY)
        if running and time.monotonic() - self._serving_since >= self.settings.restarts.reset:
            self._restarts = 0
            self.note(restarts=0)


def command_line(
    command: tuple[str, ...], settings: OrchestratorSettings, version: str
) -> tuple[str, ...]:
    """Return the words that start a service in a version."""
    versioned = ("--version", version) if version else ()
    return (*command, "--config", str(settings.config), *versioned)


def remove_stale(place: Place, child: Child) -> None:
    """Remove the socket that a process left behind.

    A stray of it, killed just now, may hold it still for a moment.
    """
    if place.path is None or not place.path.is_socket():
        return
    try:
        pid = listener(place.path)
    except OSError:
        pid = child.pid
    if pid == child.pid or child.leads(pid):
        place.path.unlink(missing_ok=True)
