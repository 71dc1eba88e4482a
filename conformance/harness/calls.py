"""Calls to a service, and their answers as whole values.

An answer is never an exception: code, message, details, metadata and message
stand side by side, so that a test compares all of them at once.
"""

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from . import bounds
from .addresses import Address
from .judging import NonConformance

Metadata = Sequence[tuple[str, str | bytes]]

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


@dataclass(frozen=True, slots=True)
class Violation:
    """One entry of google.rpc.BadRequest."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended."""

    code: str
    """Canonical name of the status code, such as `NOT_FOUND`."""
    message: str = ""
    response: Any = None
    violations: tuple[Violation, ...] = ()
    retry_delays: tuple[float, ...] = ()
    """Seconds that each google.rpc.RetryInfo says to wait."""
    initial: tuple[tuple[str, str | bytes], ...] = field(default=(), repr=False)
    trailing: tuple[tuple[str, str | bytes], ...] = field(default=(), repr=False)
    elapsed: float = field(default=0.0, compare=False)

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that google.rpc.BadRequest names."""
        return tuple(violation.field for violation in self.violations)


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
            return await _answer(call, raw, response_type, started)

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
            with suppress(grpc.aio.AioRpcError):
                raw = await call
            return await _answer(call, raw, response_type, started)

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
            return await _answer(call, None, None, started)

        return found, await self._watched(finish(), path, bounds.DEADLINE)

    async def subscribe(
        self,
        path: str,
        request: Message,
        response_type: type[Message],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> "Stream":
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
        messages: list[Any] = []
        while (message := await self._read(bound)) is not None:
            messages.append(message)
        return messages, await self.ended(bound)

    async def ended(self, bound: float = bounds.DEADLINE) -> Answer:
        """Wait for the end of the stream, and return how it ended."""
        try:
            async with asyncio.timeout(bound + bounds.JITTER.seconds):
                return await _answer(self._call, None, None, self._started)
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


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


def parsed(raw: bytes, kind: type[Message]) -> Any:
    """Return the message that an answer is.

    Raises:
        NonConformance: it is none of that type.
    """
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise NonConformance(
            what="an answer",
            expected=f"a {kind.DESCRIPTOR.full_name}",
            observed=f"{error}: {raw!r}",
        ) from None


async def _taken(call: Any, started: float) -> Answer:
    """Return how a call ended; OK if it was accepted and is still open."""
    reading = asyncio.ensure_future(call.read())
    done, _ = await asyncio.wait({reading}, timeout=bounds.OPEN)
    with suppress(grpc.aio.AioRpcError):
        if not done or reading.result() is not grpc.aio.EOF:
            reading.cancel()
            call.cancel()
            return Answer(code="OK", elapsed=time.monotonic() - started)
    return await _answer(call, None, None, started)


async def _answer(
    call: Any, raw: bytes | None, response_type: type[Message] | None, started: float
) -> Answer:
    code = await call.code()
    elapsed = time.monotonic() - started
    response: Any = raw
    if raw is not None and response_type is not None:
        response = parsed(raw, response_type)
    violations, retry_delays = await _details(call)
    return Answer(
        code=code.name,
        message=await call.details() or "",
        response=response,
        violations=violations,
        retry_delays=retry_delays,
        initial=tuple(await _initial(call)),
        trailing=tuple(await call.trailing_metadata() or ()),
        elapsed=elapsed,
    )


async def _initial(call: Any) -> Metadata:
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        return tuple(await call.initial_metadata() or ())
    return ()


async def _details(call: Any) -> tuple[tuple[Violation, ...], tuple[float, ...]]:
    """Return what google.rpc.BadRequest and RetryInfo in the trailers say.

    Raises:
        NonConformance: the details contradict the status itself.
    """
    try:
        status = await rpc_status.aio.from_call(call)
    except ValueError as error:
        raise NonConformance(
            what="grpc-status-details-bin",
            expected="the same code and message as the status",
            observed=str(error),
        ) from None
    violations: list[Violation] = []
    delays: list[float] = []
    for detail in status.details if status else ():
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(bad):
            violations += [Violation(v.field, v.description) for v in bad.field_violations]
        elif detail.Unpack(retry):
            delays.append(retry.retry_delay.ToNanoseconds() / 1e9)
    return tuple(violations), tuple(delays)
