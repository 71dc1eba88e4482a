"""A stream of answers, read one by one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import Message

from . import bounds
from .answers import Answer, answer_of, parsed
from .judging import NonConformance


class Stream:
    """A stream of answers, read one by one under a bound."""

    def __init__(self, call: Any, response_type: type[Message], path: str) -> None:
        """Wrap a running call."""
        self._call = call
        self._type = response_type
        self._path = path
        self._started = time.monotonic()
        self._reading: asyncio.Task[Any] | None = None

    def __repr__(self) -> str:
        """Show the method and whether the stream has ended."""
        return f"Stream({self._path!r}, ended={self._call.done()})"

    async def confirmed(self) -> None:
        """Wait for the initial metadata, or for the end of the call."""
        with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            await self._call.initial_metadata()

    async def next(self, bound: float = bounds.DEADLINE) -> Any:
        """Return the next message.

        Raises:
            NonConformance: the stream ended, or nothing came within `bound` seconds.
        """
        message = await self._read(bound)
        if message is None:
            raise NonConformance(
                what=f"{self._path}: next message",
                expected=f"within {bound:g} s",
                observed=f"none; {await self._state()}",
            )
        return message

    async def take(self, count: int, bound: float = bounds.DEADLINE) -> list[Any]:
        """Return the next `count` messages, each within `bound` seconds of the one before."""
        return [await self.next(bound) for _ in range(count)]

    async def silent(self, seconds: float) -> bool:
        """Tell whether nothing comes, and the stream stays open, for so long."""
        return await self._read(seconds) is None and not self._call.done()

    async def rest(self, bound: float = bounds.DEADLINE) -> tuple[list[Any], Answer]:
        """Read to the end of the stream; return what came, and how it ended.

        Raises:
            NonConformance: it did not end within `bound` seconds of its last message.
        """
        messages = [message async for message in self.each(bound)]
        return messages, await self.ended(bound)

    async def each(self, bound: float = bounds.DEADLINE) -> AsyncIterator[Any]:
        """Yield the messages that come, until the stream ends or none does for `bound` seconds."""
        while (message := await self._read(bound)) is not None:
            yield message

    async def ended(self, bound: float = bounds.DEADLINE) -> Answer:
        """Wait for the end of the stream, and return how it ended."""
        try:
            async with asyncio.timeout(bound + bounds.JITTER.seconds):
                return await answer_of(self._call, None, None, self._started)
        except TimeoutError:
            raise NonConformance(
                what=f"{self._path}: end of the stream",
                expected=f"within {bound:g} s",
                observed="still open",
            ) from None

    def cancel(self) -> None:
        """Cancel the call: RST_STREAM to the server."""
        if self._reading is not None:
            self._reading.cancel()
        self._call.cancel()

    async def _read(self, bound: float) -> Any:
        # A read that is given up would cancel the whole call, so it is kept for the next caller.
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        done, _ = await asyncio.wait({self._reading}, timeout=bound + bounds.JITTER.seconds)
        if not done:
            return None
        reading, self._reading = self._reading, None
        with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            raw = await reading
            if raw is not grpc.aio.EOF:
                return parsed(raw, self._type)
        return None

    async def _state(self) -> str:
        if not self._call.done():
            return "the stream is open"
        return f"the stream ended with {await self.ended()!r}"
