"""Calls to a service, with a watchdog around each."""

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import Message

from . import bounds
from .addresses import Address
from .answers import Answer, Metadata, answer_of, parsed
from .judging import NonConformance
from .streams import Stream

__all__ = ["Answer", "Channel", "Metadata", "Stream", "parsed"]

CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 1 << 20),
    ("grpc.absolute_max_metadata_size", 1 << 20),
)
"""What makes a channel of the suite reproducible: nothing shared, nothing retried, no limit."""


class Channel:
    """A connection of the suite to one address, with a watchdog around every call.

    Args:
        address: where it leads.
        on_hang: called when a call outlives its deadline, to end whatever hangs.
        metadata: custom metadata of every call, before the call's own: a token, say.
    """

    def __init__(
        self,
        address: Address,
        on_hang: Callable[[], object] | None = None,
        metadata: Metadata = (),
    ) -> None:
        """Make the channel; it connects at the first call."""
        self.address = address
        self._on_hang = on_hang
        self._metadata = tuple(metadata)
        self._channel = address.channel(CHANNEL_OPTIONS)
        self.closed = False
        """Whether nothing more can be called."""

    def __repr__(self) -> str:
        """Show where it leads."""
        return f"Channel({self.address})"

    async def close(self) -> None:
        """Close the connection and cancel what runs on it."""
        self.closed = True
        await self._channel.close()

    async def unary(
        self,
        path: str,
        request: Message | bytes,
        response_type: type[Message] | None,
        *,
        timeout: float = bounds.DEADLINE,
        metadata: Metadata = (),
    ) -> Answer:
        """Call a method with one message and one answer.

        Args:
            path: `/package.Service/Method`.
            request: the message, or the bytes to send in its place.
            response_type: None leaves the answer as bytes.
            timeout: deadline in seconds.
            metadata: custom metadata.

        Raises:
            NonConformance: the call outlived its deadline.
        """
        body = request if isinstance(request, bytes) else request.SerializeToString()
        method: Any = self._channel.unary_unary(path)
        call = method(body, timeout=timeout, metadata=(*self._metadata, *metadata))
        started = time.monotonic()

        async def finish() -> Answer:
            raw: bytes | None = None
            with suppress(grpc.aio.AioRpcError):
                raw = await call
            return await answer_of(call, raw, response_type, started)

        answer: Answer = await self._watched(finish(), path, timeout)
        return answer

    async def streamed(
        self,
        path: str,
        requests: Iterable[Message] | AsyncIterable[Message],
        response_type: type[Message],
        *,
        timeout: float = bounds.DEADLINE,
        metadata: Metadata = (),
    ) -> Answer:
        """Call a method with a stream of messages and one answer; see `unary`.

        For calls that the server does not end before their last message: where it does,
        grpc.aio may put an INTERNAL of its own in the place of the server's status.
        """
        method: Any = self._channel.stream_unary(path, request_serializer=_serialized)
        call = method(requests, timeout=timeout, metadata=(*self._metadata, *metadata))
        started = time.monotonic()

        async def finish() -> Answer:
            raw: bytes | None = None
            try:
                raw = await call
            except grpc.aio.AioRpcError:
                pass
            except asyncio.CancelledError:
                # grpc.aio cancels a call by itself when its requests cannot be sent any more.
                if _cancelled():
                    raise
            return await answer_of(call, raw, response_type, started)

        answer: Answer = await self._watched(finish(), path, timeout)
        return answer

    async def judged(
        self, path: str, bodies: Sequence[bytes], barrier: Callable[[], Awaitable[object]]
    ) -> list[Answer]:
        """Call any method once for each body, all at once, and tell how the service took them.

        gRPC's four kinds are one on the wire, so this fits every method. A stream that
        stays open was accepted: it is cancelled, and OK.

        Args:
            path: `/package.Service/Method`.
            bodies: one raw message each.
            barrier: another call on this channel: once it is answered, so is every refusal
                of these.
        """
        started = time.monotonic()
        method: Any = self._channel.unary_stream(path)
        calls = [method(body, timeout=bounds.DEADLINE, metadata=self._metadata) for body in bodies]

        async def finish() -> list[Answer]:
            await asyncio.gather(
                *(call.initial_metadata() for call in calls), return_exceptions=True
            )
            await barrier()
            return list(await asyncio.gather(*(_taken(call, started) for call in calls)))

        answers: list[Answer] = await self._watched(finish(), path, bounds.DEADLINE)
        return answers

    async def messages(self, path: str, body: bytes) -> tuple[list[bytes], Answer]:
        """Call any method with one raw message; return all that came, and how it ended.

        Not by grpc.aio's call with a stream of requests: where the server ends such a call
        first, that one reports an INTERNAL error of its own half of the time.
        """
        method: Any = self._channel.unary_stream(path)
        call = method(body, timeout=bounds.DEADLINE, metadata=self._metadata)
        started = time.monotonic()
        found: list[bytes] = []

        async def finish() -> Answer:
            with suppress(grpc.aio.AioRpcError):
                async for message in call:
                    found.append(message)  # noqa: PERF401 - what came before an error counts
            return await answer_of(call, None, None, started)

        return found, await self._watched(finish(), path, bounds.DEADLINE)

    async def subscribe(
        self,
        path: str,
        request: Message,
        response_type: type[Message],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> Stream:
        """Open a stream of answers, and wait until the server confirmed it or refused it.

        Confirmed means: initial metadata arrived, or the call ended.
        """
        method: Any = self._channel.unary_stream(path)
        call = method(
            request.SerializeToString(), timeout=timeout, metadata=(*self._metadata, *metadata)
        )
        stream = Stream(call, response_type, path)
        await self._watched(stream.confirmed(), path, bounds.DEADLINE)
        return stream

    async def _watched(self, work: Any, path: str, timeout: float) -> Any:
        try:
            async with asyncio.timeout(timeout + bounds.WATCHDOG + bounds.JITTER.seconds):
                return await work
        except TimeoutError:
            if self._on_hang is not None:
                self._on_hang()
            raise NonConformance(
                what=f"{path}: end of the call",
                expected=f"at its deadline of {timeout:g} s",
                observed=f"no end {bounds.WATCHDOG:g} s after it (deadline not enforced)",
            ) from None


def _cancelled() -> bool:
    """Tell whether it was this task that somebody cancelled, and not a call of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


async def _taken(call: Any, started: float) -> Answer:
    """Return how a call ended; OK if it was accepted and is still open."""
    reading = asyncio.ensure_future(call.read())
    done, _ = await asyncio.wait({reading}, timeout=bounds.OPEN)
    with suppress(grpc.aio.AioRpcError):
        if not done or reading.result() is not grpc.aio.EOF:
            reading.cancel()
            call.cancel()
            return Answer(code="OK", elapsed=time.monotonic() - started)
    return await answer_of(call, None, None, started)
