"""The registry as a driver tells it: the list of endpoints, followed."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from blackhole.conformance.v1 import driver_pb2 as pb

from . import bounds
from .bounds import until
from .calls import Stream
from .judging import NonConformance

_ENDLESS = 3600.0
"""Seconds to wait for the next list: longer than any test, because lists come on changes only."""

Endpoints = Sequence[pb.Endpoint]


class Registry:
    """What Driver.Watch told so far. Use as a context manager, which reads in the background."""

    def __init__(self, stream: Stream) -> None:
        """Take charge of a stream of lists."""
        self._stream = stream
        self._ended: BaseException | None = None
        self.lists: list[tuple[pb.Endpoint, ...]] = []
        """Every list that came, in order."""

    def __repr__(self) -> str:
        """Show the latest list."""
        return f"Registry({', '.join(map(_shown, self.endpoints))})"

    async def __aenter__(self) -> Self:
        """Read, and wait for the first list.

        Raises:
            NonConformance: none came at once.
        """
        self._reading = asyncio.create_task(self._read())
        try:
            await self.seen(lambda _: True, what="the first list of endpoints")
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel the stream."""
        await self._stop()

    @property
    def endpoints(self) -> tuple[pb.Endpoint, ...]:
        """The latest list; empty before the first."""
        return self.lists[-1] if self.lists else ()

    @property
    def names(self) -> list[str]:
        """Name, or `name@version`, of each endpoint of the latest list, in its order."""
        return [_name(endpoint) for endpoint in self.endpoints]

    def of(self, name: str) -> list[pb.Endpoint]:
        """Return the endpoints of one service in the latest list, in its order."""
        return [endpoint for endpoint in self.endpoints if endpoint.name == name]

    def state(self, name: str) -> str:
        """Return the state of the first endpoint of a service; empty when it has none."""
        return next(map(state_of, self.of(name)), "")

    async def becomes(self, name: str, state: str, *, bound: float) -> None:
        """Wait until the first endpoint of a service is in a state.

        Raises:
            NonConformance: it was not within `bound` seconds, or the stream ended.
        """
        await self.seen(lambda _: self.state(name) == state, bound=bound, what=f"{name} is {state}")

    async def seen(
        self,
        predicate: Callable[[Endpoints], Any],
        *,
        bound: float = bounds.PROMPT,
        what: str,
    ) -> Endpoints:
        """Wait until the latest list is such that the predicate holds, and return it.

        Raises:
            NonConformance: it was not within `bound` seconds, or the stream ended.
        """

        def holds() -> bool:
            if self._ended is not None:
                raise NonConformance(
                    what=what, expected="an open stream of lists", observed=str(self._ended)
                )
            return bool(self.lists) and bool(predicate(self.endpoints))

        await until(holds, bound=bound, what=what, seen=lambda: self)
        return self.endpoints

    async def _read(self) -> None:
        try:
            while True:
                message = await self._stream.next(_ENDLESS)
                self.lists.append(tuple(message.endpoints))
        except NonConformance as ended:
            self._ended = ended

    async def _stop(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._stream.cancel()


def state_of(endpoint: pb.Endpoint) -> str:
    """Return the state of an endpoint in a word."""
    return pb.EndpointState.Name(endpoint.state).removeprefix("ENDPOINT_STATE_")


def _name(endpoint: pb.Endpoint) -> str:
    return f"{endpoint.name}@{endpoint.version}" if endpoint.version else endpoint.name


def _shown(endpoint: pb.Endpoint) -> str:
    return f"{_name(endpoint)} {state_of(endpoint)}"
