"""ConnectionPool: shared and bounded connections (document: Advanced Connection Pool).

Never waits while it decides: everything but a dial happens within one turn of
the event loop, so that no lock is needed.
"""

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from enum import StrEnum, auto
from typing import Any, Protocol

from ..config.client import Pool
from .errors import UnavailableError


class Connection(Protocol):
    """What the pool needs of a connection."""

    @property
    def ready(self) -> bool:
        """Whether a call can be made on it now."""

    async def close(self) -> None:
        """Close it, and end what runs on it."""


Dial = Callable[[str], Awaitable[Any]]
"""Connects to an address within `connect_timeout`, or raises UnavailableError."""


class State(StrEnum):
    """Of an entry of the pool."""

    DIALLING = auto()
    BUSY = auto()
    IDLE = auto()
    GONE = auto()


class Input(StrEnum):
    """What can happen to an entry."""

    TAKEN = auto()
    """A caller takes it."""
    DIALLED = auto()
    """The dial succeeded."""
    RETURNED = auto()
    """The last caller gave it back."""
    LOST = auto()
    """The dial failed, the connection broke, idled too long, or is one too many."""


TRANSITIONS: dict[tuple[State, Input], State] = {
    (State.DIALLING, Input.TAKEN): State.DIALLING,
    (State.DIALLING, Input.DIALLED): State.BUSY,
    (State.DIALLING, Input.RETURNED): State.DIALLING,
    (State.DIALLING, Input.LOST): State.GONE,
    (State.BUSY, Input.TAKEN): State.BUSY,
    (State.BUSY, Input.DIALLED): State.BUSY,
    (State.BUSY, Input.RETURNED): State.IDLE,
    (State.BUSY, Input.LOST): State.GONE,
    (State.IDLE, Input.TAKEN): State.BUSY,
    (State.IDLE, Input.DIALLED): State.IDLE,
    (State.IDLE, Input.RETURNED): State.IDLE,
    (State.IDLE, Input.LOST): State.GONE,
    (State.GONE, Input.TAKEN): State.GONE,
    (State.GONE, Input.DIALLED): State.GONE,
    (State.GONE, Input.RETURNED): State.GONE,
    (State.GONE, Input.LOST): State.GONE,
}
"""(state, input) to the next state, over every pair."""


class Entry:
    """One connection of the pool, or the dial that will become one."""

    __slots__ = ("address", "connection", "dialling", "idle_since", "state", "users")

    def __init__(self, address: str) -> None:
        """Nothing is dialled yet."""
        self.address = address
        self.dialling: asyncio.Task[None] | None = None
        self.connection: Any = None
        self.state = State.DIALLING
        self.users = 0
        """Calls in flight, and callers that wait for the dial."""
        self.idle_since: float | None = None

    def __repr__(self) -> str:
        """Show the address, the state and the users."""
        return f"Entry({self.address!r}, {self.state.name}, users={self.users})"

    def take(self, given: Input) -> None:
        """Change the state."""
        self.state = TRANSITIONS[self.state, given]

    @property
    def usable(self) -> bool:
        """Whether a caller may take it, or wait for it."""
        if self.state is State.DIALLING:
            return True
        return self.state is not State.GONE and bool(self.connection.ready)


class ConnectionPool:
    """All connections of a process.

    Args:
        settings: counts, and durations in seconds.
        dial: makes a connection.
        clock: seconds, never going back.
    """

    def __init__(
        self, settings: Pool, dial: Dial, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start empty."""
        self._settings = settings
        self._dial = dial
        self._clock = clock
        self._entries: dict[str, list[Entry]] = {}
        # From the longest idle to the latest.
        self._idle: OrderedDict[Entry, None] = OrderedDict()
        self._timers: set[asyncio.TimerHandle] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def __repr__(self) -> str:
        """Show every entry."""
        return f"ConnectionPool({list(itertools.chain(*self._entries.values()))})"

    def ready(self, address: str) -> Entry | None:
        """Take an entry that can be used at once; None when one must be dialled or waited for."""
        for entry in self._entries.get(address, ()):
            if entry.state is State.IDLE and entry.connection.ready:
                return self._taken(entry)
        # A busy one is shared only when there may be no further one.
        entries = self._entries.get(address, ())
        if len(entries) >= self._settings.max_conns:
            busy = [one for one in entries if one.state is State.BUSY and one.connection.ready]
            if busy and len(busy) == len(entries):
                return self._taken(min(busy, key=_users))
        return None

    async def acquire(self, address: str) -> Entry:
        """Take an entry, after a dial if there must be one; `release` gives it back.

        Raises:
            UnavailableError: the dial failed, or the pool is closed.
        """
        if self._closed:
            raise UnavailableError("the connection pool is closed")
        entry = self.ready(address) or self._taken(self._to_wait_for(address))
        if (dialling := entry.dialling) is not None:
            try:
                # Shielded: others wait for the same dial.
                await asyncio.shield(dialling)
            except BaseException as error:
                self.release(entry)
                if dialling.cancelled() and isinstance(error, asyncio.CancelledError):
                    raise UnavailableError("the connection pool is closed") from None
                raise
        return entry

    def release(self, entry: Entry) -> None:
        """Give an entry back."""
        entry.users -= 1
        if entry.users or entry.state is State.DIALLING:
            return
        entry.take(Input.RETURNED)
        if entry.state is State.IDLE:
            self._rest(entry)

    async def close(self) -> None:
        """Close every connection, and dial no more (POOL-10)."""
        self._closed = True
        for entries in list(self._entries.values()):
            for entry in list(entries):
                self._lose(entry)
        for timer in self._timers:
            timer.cancel()
        while self._closing:
            await asyncio.wait(self._closing)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return connections and idle connections by address."""
        return {
            address: (
                sum(entry.state is not State.DIALLING for entry in entries),
                sum(entry.state is State.IDLE for entry in entries),
            )
            for address, entries in self._entries.items()
        }

    def _to_wait_for(self, address: str) -> Entry:
        """Return the entry with the fewest users, or a new one if all others are in use."""
        for entry in list(self._entries.get(address, ())):
            if not entry.usable:
                self._lose(entry)
        entries = self._entries.setdefault(address, [])
        if len(entries) >= self._settings.max_conns:
            return min(entries, key=_users)
        entry = Entry(address)
        entries.append(entry)
        entry.dialling = asyncio.create_task(self._connect(entry))
        entry.dialling.add_done_callback(_retrieved)
        return entry

    def _taken(self, entry: Entry) -> Entry:
        entry.users += 1
        entry.take(Input.TAKEN)
        self._idle.pop(entry, None)
        return entry

    async def _connect(self, entry: Entry) -> None:
        """Dial for an entry. Its state is right before anybody who waits goes on."""
        try:
            entry.connection = await self._dial(entry.address)
        except BaseException:
            self._forget(entry)
            raise
        finally:
            entry.dialling = None
        entry.take(Input.DIALLED)
        if not entry.users:
            # Everybody who asked for it has given up meanwhile.
            entry.take(Input.RETURNED)
            self._rest(entry)

    def _rest(self, entry: Entry) -> None:
        """Let an entry idle; close the longest idle when they are too many (POOL-5)."""
        self._idle[entry] = None
        first, entry.idle_since = entry.idle_since is None, self._clock()
        if first:
            self._look_again(entry, self._settings.idle_timeout)
        while len(self._idle) > self._settings.max_idle_conns:
            # One that broke while it idled is none: it goes before those that live.
            broken = (one for one in self._idle if not one.connection.ready)
            self._lose(next(broken, next(iter(self._idle))))

    def _look_again(self, entry: Entry, delay: float) -> None:
        """Look at an entry later: one timer an entry, however often it is used (POOL-4)."""

        def look() -> None:
            self._timers.discard(timer)
            if entry.state is State.GONE:
                return
            left = (entry.idle_since or 0.0) + self._settings.idle_timeout - self._clock()
            if entry.state is State.IDLE and left <= 0:
                self._lose(entry)
            else:
                self._look_again(entry, left if left > 0 else self._settings.idle_timeout)

        timer = asyncio.get_running_loop().call_later(delay, look)
        self._timers.add(timer)

    def _lose(self, entry: Entry) -> None:
        """Use an entry no more, and close its connection or end its dial."""
        if entry.state is State.GONE:
            return
        self._forget(entry)
        if entry.dialling is not None:
            entry.dialling.cancel()
        else:
            closing = asyncio.ensure_future(entry.connection.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _forget(self, entry: Entry) -> None:
        """Take an entry out of the pool."""
        if entry.state is State.GONE:
            return
        entry.take(Input.LOST)
        self._idle.pop(entry, None)
        entries = self._entries[entry.address]
        entries.remove(entry)
        if not entries:
            del self._entries[entry.address]


def _users(entry: Entry) -> int:
    return entry.users


def _retrieved(task: "asyncio.Task[None]") -> None:
    """Look at how a dial ended: everybody who waited for it may have given up."""
    if not task.cancelled():
        task.exception()
