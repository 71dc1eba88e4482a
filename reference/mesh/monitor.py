"""HealthMonitor: asks endpoints for their health (document: Dynamic Service Registry)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from ..config.client import Registry
from .directory import Identity, listener
from .endpoints import ServiceEndpoint, judge
from .telemetry import logging

AT_ONCE = 16
"""Checks that run at once at most."""

LISTEN_GRACE = 0.1
"""Seconds from a socket's bind to its listen. gRPC calls both in a row, but may lose the CPU
between them, and the verdict of a check in this gap would stand for a whole interval."""

LISTEN_POLL = 0.005
"""Seconds between two looks in this gap."""

Check = Callable[[ServiceEndpoint], Awaitable[bool]]


@dataclass(slots=True)
class Monitored:
    """An endpoint, and what only its monitor has to know."""

    endpoint: ServiceEndpoint
    identity: Identity | None
    """Of its socket; None when it has none."""
    listening: bool = True
    """Whether somebody listens at the socket, as far as it was looked."""
    failures: int = 0
    """Failed checks in a row."""

    def look(self) -> bool:
        """See who listens at the socket; return whether somebody does."""
        if (path := self.endpoint.socket_path) is None:
            return True
        try:
            pid, self.listening = listener(path), True
        except OSError:
            pid, self.listening = 0, False
        self.endpoint = replace(self.endpoint, pid=pid)
        return self.listening


class HealthMonitor:
    """Asks endpoints at once, and at an interval from then on.

    Args:
        settings: interval, timeout and threshold of health.
        check: asks an endpoint's health; whatever it raises is a failed check.
        changed: called after each change of an endpoint.
    """

    def __init__(self, settings: Registry, check: Check, changed: Callable[[], None]) -> None:
        """Nobody is asked before `watch`."""
        self._settings = settings
        self._check = check
        self._changed = changed
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def watch(self, monitored: Monitored) -> None:
        """Keep an endpoint's health up to date, until cancelled."""
        now = asyncio.get_running_loop().time
        if monitored.identity and not monitored.listening:
            age = time.time() - monitored.identity[2] / 1e9
            await self._rest(monitored, min(LISTEN_GRACE - age, LISTEN_GRACE), LISTEN_POLL)
        while True:
            due = now() + self._settings.health_interval
            async with self._slots:
                passed = await self._passes(monitored.endpoint)
            self._record(monitored, passed=passed)
            await self._rest(monitored, due - now(), self._settings.rescan_interval)

    async def _rest(self, monitored: Monitored, seconds: float, poll: float) -> None:
        """Wait; while nobody listens, only until somebody does.

        Args:
            monitored: who is waited for.
            seconds: how long at most.
            poll: seconds between two looks for a listener.
        """
        now = asyncio.get_running_loop().time
        end = now() + seconds
        while not monitored.listening and (left := end - now()) > 0:
            await asyncio.sleep(min(left, poll))
            if monitored.look():
                self._changed()
                return
        # Even who is late lets others have their turn.
        await asyncio.sleep(max(0, end - now()))

    async def _passes(self, endpoint: ServiceEndpoint) -> bool:
        try:
            async with asyncio.timeout(self._settings.health_timeout):
                return await self._check(endpoint)
        except TimeoutError:
            return False
        except Exception as error:  # noqa: BLE001 - it is this endpoint's trouble alone
            logging.logger().warning("a health check broke", error=repr(error))
            return False

    def _record(self, monitored: Monitored, *, passed: bool) -> None:
        """Keep the outcome of a check, and tell what it changed."""
        before = monitored.endpoint
        state, monitored.failures = judge(
            before.state,
            monitored.failures,
            passed=passed,
            threshold=self._settings.failure_threshold,
        )
        monitored.endpoint = replace(before, state=state, last_check=time.time())
        if not passed or not before.pid:
            monitored.look()
        if monitored.endpoint != before:
            self._changed()
