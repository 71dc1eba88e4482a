"""ServiceRegistry: the list of all endpoints (document: Dynamic Service Registry).

An endpoint is registered by the configuration, or found as a socket in the
socket directory. What lies there is compared with the list whenever the
directory is disturbed, and at an interval.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Coroutine, Iterator, Mapping
from contextlib import suppress
from itertools import groupby
from typing import Any

from ..config import client as config
from .directory import Identity, Service, SocketDirectory, file_of, identity_of, service_of
from .endpoints import EndpointState, ServiceEndpoint
from .monitor import Check, HealthMonitor, Monitored
from .telemetry import logging
from .versions import order

__all__ = ["EndpointState", "ServiceEndpoint", "ServiceRegistry"]

SLICE = 32
"""New sockets that are connected to before others get their turn: 1 ms."""

_Key = tuple[str, str, bool]
"""Name, version, and whether it is registered."""


class ServiceRegistry:
    """Knows every endpoint, and keeps its health up to date.

    Args:
        settings: the directory, the registrations, and the intervals.
        check: asks an endpoint's health; whatever it raises is a failed check.
    """

    def __init__(self, settings: config.Registry, check: Check) -> None:
        """Start with an empty list."""
        self._settings = settings
        self._registrations = {each.name: each for each in settings.registrations}
        self._hidden = frozenset(_registered_files(settings))
        self._disturbed = asyncio.Event()
        self._directory = SocketDirectory(settings.socket_dir.absolute(), self._disturbed.set)
        self._monitor = HealthMonitor(settings, check, self._tell)
        self._entries: dict[_Key, Monitored] = {}
        self._by_name: dict[str, list[Monitored]] = {}
        self._watches: dict[_Key, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking = asyncio.Lock()
        self._changed = asyncio.Event()
        self._released = False
        self._closed = False
        self.revision = 0
        """Another number after each change."""

    def __repr__(self) -> str:
        """Show how many endpoints there are, and the directory."""
        return (
            f"ServiceRegistry(endpoints={len(self._entries)}, {self._directory},"
            f" closed={self._closed})"
        )

    async def start(self) -> None:
        """Fill the list from configuration and directory, and follow both from then on."""
        await self.rescan()
        self._spawn(self._follow())

    def release(self) -> None:
        """End every `changes`; the list itself is followed on."""
        self._released = True
        self._tell()

    async def close(self) -> None:
        """Stop; every `changes` ends."""
        self._closed = True
        self.release()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._directory.close()

    def endpoints(self) -> list[ServiceEndpoint]:
        """Return all endpoints: by name, then by version, unversioned and registered first."""
        return [entry.endpoint for entries in self._by_name.values() for entry in entries]

    def named(self, name: str) -> list[ServiceEndpoint]:
        """Return the endpoints of a service, in the order of `endpoints`."""
        return [entry.endpoint for entry in self._by_name.get(name, ())]

    async def changes(self) -> AsyncGenerator[list[ServiceEndpoint], None]:
        """Yield the list now and after each change, until `release`; what comes together is one."""
        told: list[ServiceEndpoint] | None = None
        while not self._released:
            changed = self._changed
            if (now := self.endpoints()) != told:
                told = now
                yield now
            else:
                await changed.wait()

    async def checked(self, endpoint: ServiceEndpoint) -> ServiceEndpoint:
        """Wait for an endpoint's first check, and return it as it is then.

        One that leaves the list before, or at `close`, is returned as it was given.
        """
        key = (endpoint.name, endpoint.version, endpoint.registered)
        while not self._closed and (entry := self._entries.get(key)):
            if entry.endpoint.state is not EndpointState.UNSPECIFIED:
                return entry.endpoint
            await self._changed.wait()
        return endpoint

    async def rescan(self) -> None:
        """Bring the list up to date with the sockets that there are now."""
        async with self._looking:
            if self._closed:
                return
            seen = self._seen()
            fresh: dict[_Key, Monitored] = {}
            for key, identity in seen.items():
                if key in self._entries and self._entries[key].identity == identity:
                    continue
                fresh[key] = self._introduced(key, identity)
                if len(fresh) % SLICE == 0:
                    await asyncio.sleep(0)
            self._replace(gone=self._entries.keys() - seen.keys(), fresh=fresh)

    async def _follow(self) -> None:
        """Look again when there is a reason, and at an interval: reasons get lost.

        The interval is the time in which a change is known, so looks come twice as often:
        a change just after one look is seen in time by the next, however long that takes.
        """
        now = asyncio.get_running_loop().time
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.rescan_interval / 2):
                    await self._disturbed.wait()
            self._disturbed.clear()
            started = now()
            try:
                await self.rescan()
            except Exception as error:  # noqa: BLE001 - the list must not stand still for good
                logging.logger().warning("looking for sockets failed", error=repr(error))
            # A directory that is never at rest takes half of the time at most.
            await asyncio.sleep(now() - started)

    def _seen(self) -> dict[_Key, Identity | None]:
        """Return what is registered, and what is found now."""
        seen: dict[_Key, Identity | None] = {}
        for each in self._registrations.values():
            socket = each.unix_socket
            identity = identity_of(socket.absolute(), follow=True) if socket else None
            seen[each.name, each.version, True] = identity
        known = [key[:2] for key in self._entries if not key[2]]
        for service, identity in self._directory.look(known).items():
            if service not in self._hidden:
                seen[*service, False] = identity
        return seen

    def _introduced(self, key: _Key, identity: Identity | None) -> Monitored:
        name, version, registered = key
        if registered:
            registration = self._registrations[name]
            socket, tcp = registration.unix_socket, registration.tcp_address
        else:
            socket, tcp = self._directory.path / file_of((name, version)), ""
        endpoint = ServiceEndpoint(
            name=name,
            version=version,
            socket_path=socket.absolute() if socket else None,
            tcp_address=tcp,
            registered=registered,
            state=EndpointState.UNSPECIFIED,
            last_check=None,
            metadata=self._settings.metadata.get(name, {}),
            pid=0,
        )
        entry = Monitored(endpoint, identity)
        entry.look()
        return entry

    def _replace(self, gone: Collection[_Key], fresh: Mapping[_Key, Monitored]) -> None:
        """Take endpoints out and in, in one step: who is replaced is never missing."""
        if not gone and not fresh:
            return
        for key in (*gone, *fresh):
            if key in self._entries:
                del self._entries[key]
                self._watches.pop(key).cancel()
        for key, entry in fresh.items():
            self._entries[key] = entry
            self._watches[key] = self._spawn(self._monitor.watch(entry))
        ordered = sorted(self._entries.values(), key=_place)
        self._by_name = {
            name: list(entries)
            for name, entries in groupby(ordered, key=lambda entry: entry.endpoint.name)
        }
        self._tell()

    def _tell(self) -> None:
        self.revision += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _place(entry: Monitored) -> tuple[Any, ...]:
    endpoint = entry.endpoint
    return endpoint.name, order(endpoint.version), not endpoint.registered


def _registered_files(settings: config.Registry) -> Iterator[Service]:
    """Yield services in the socket directory that are registered with just that socket.

    They are not found besides: what the configuration says of a socket counts.
    """
    directory = settings.socket_dir.resolve()
    for each in settings.registrations:
        if each.unix_socket and each.unix_socket.parent.resolve() == directory:
            service = service_of(each.unix_socket.name)
            if service and service[0] == each.name:
                yield service
