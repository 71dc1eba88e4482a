"""The server pipeline: all that happens to every call, in one fused interceptor.

One wrapper a method is made at its first call and kept; a chain of stock
interceptors costs several times as much. What concerns every call (tokens, rate
limits, metrics, traces) is a `Stage`: it may refuse a call before the handler
sees it, and learns how the call ended. Requests come in as bytes, so that a body
that does not parse is the caller's fault and not an internal error (ERR-3).
"""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError

from . import caller
from .errors import MalformedMessageError, ResourceExhaustedError, to_status
from .sending import sent
from .telemetry.logging import logger

REQUEST_ID = "x-request-id"

_KEPT_REQUEST_ID = re.compile(r"[!-~]{1,128}")
"""A caller's request ID is kept when it is printable and short; else one is made."""


@dataclass(slots=True)
class Call:
    """One call on its way through the pipeline."""

    method: str
    metadata: Sequence[tuple[str, str | bytes]]
    request_id: str
    started: float = field(default_factory=time.monotonic)
    code: grpc.StatusCode = grpc.StatusCode.OK


class Stage(Protocol):
    """One concern of every call."""

    def admit(self, call: Call) -> None:
        """Let the call pass, or raise a DomainError."""

    def done(self, call: Call) -> None:
        """Learn how the call ended."""


class MetadataLimit:
    """Refuses calls that bring too much metadata (ERR-5).

    gRPC has such a limit too, but applies it only once the caller has acknowledged
    the settings that announce it: the first call of a connection comes before that.

    Args:
        most: bytes, counted as HTTP/2 does: name, value and 32 more an entry.
    """

    ENTRY = 32
    OWN = frozenset(("user-agent",))
    """What gRPC itself sends, and shows among the metadata."""

    def __init__(self, most: int) -> None:
        """Remember the limit."""
        self._most = most

    def admit(self, call: Call) -> None:
        """Count.

        Raises:
            ResourceExhaustedError: it is too much.
        """
        size = sum(
            len(name) + len(value) + self.ENTRY
            for name, value in call.metadata
            if name not in self.OWN
        )
        if size > self._most:
            raise ResourceExhaustedError(
                f"the metadata has {size} bytes, the limit is {self._most}"
            )

    def done(self, call: Call) -> None:
        """Nothing is kept."""


class CallLog:
    """Logs every call at level debug."""

    def admit(self, call: Call) -> None:
        """Let it pass."""

    def done(self, call: Call) -> None:
        """Write one line."""
        logger().debug(
            "call",
            method=call.method,
            request_id=call.request_id,
            code=call.code.name,
            seconds=round(time.monotonic() - call.started, 6),
        )


class Pipeline(grpc.aio.ServerInterceptor):
    """Wraps the handler of every method.

    Args:
        stages: asked in order; told in reverse order.
        max_message_bytes: largest answer.
        min_compressed_bytes: smallest answer that is compressed, for callers who accept it.
    """

    def __init__(
        self, stages: Sequence[Stage], max_message_bytes: int, min_compressed_bytes: int
    ) -> None:
        """Start with no method wrapped."""
        self._stages = tuple(stages)
        self._max_message_bytes = max_message_bytes
        self._min_compressed_bytes = min_compressed_bytes
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """Return the wrapped handler of the method that is called; None when there is none."""
        method: str = details.method
        if (wrapped := self._wrapped.get(method)) is None:
            handler = await continuation(details)
            if handler is None:
                return None
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Any:
        kinds = {
            (False, False): (grpc.unary_unary_rpc_method_handler, handler.unary_unary),
            (False, True): (grpc.unary_stream_rpc_method_handler, handler.unary_stream),
            (True, False): (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
            (True, True): (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
        }
        make, behaviour = kinds[handler.request_streaming, handler.response_streaming]

        def received(raw: Any) -> Any:
            if handler.request_streaming:
                return _decoded(raw, handler.request_deserializer)
            return decode(raw, handler.request_deserializer)

        async def one(raw: Any, context: Any) -> bytes:
            call = self._begin(method, context)
            try:
                self._admit(call)
                response = await behaviour(received(raw), context)
                return self.encode(response, handler.response_serializer, context)
            except BaseException as error:
                await self._fail(call, error, context)
                raise
            finally:
                self._done(call)

        async def many(raw: Any, context: Any) -> None:
            call = self._begin(method, context)
            try:
                self._admit(call)
                # Closed here and now when the caller leaves, not when it is collected.
                async with aclosing(behaviour(received(raw), context)) as responses:
                    async for response in responses:
                        data = self.encode(response, handler.response_serializer, context)
                        await sent(context.write(data))
            except BaseException as error:
                await self._fail(call, error, context)
                raise
            finally:
                self._done(call)

        return make(many if handler.response_streaming else one)

    def encode(self, response: Any, serialize: Callable[[Any], bytes], context: Any) -> bytes:
        """Return the bytes of an answer, which are sent next.

        gRPC compresses them where the caller accepts it, unless they are too few (CMP-2).

        Raises:
            ResourceExhaustedError: they are more than the limit (SOCK-9).
        """
        data = serialize(response)
        if len(data) > self._max_message_bytes:
            raise ResourceExhaustedError(
                f"the answer has {len(data)} bytes, the limit is {self._max_message_bytes}"
            )
        if len(data) < self._min_compressed_bytes:
            context.disable_next_message_compression()
        return data

    def _begin(self, method: str, context: Any) -> Call:
        metadata = tuple(context.invocation_metadata())
        call = Call(method, metadata, request_id(metadata))
        caller.REQUEST_ID.set(call.request_id)
        context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
        return call

    def _admit(self, call: Call) -> None:
        for stage in self._stages:
            stage.admit(call)

    def _done(self, call: Call) -> None:
        for stage in reversed(self._stages):
            stage.done(call)

    async def _fail(self, call: Call, error: BaseException, context: Any) -> None:
        """End a call by an error: a status for the caller, and the cause for the log."""
        if isinstance(error, asyncio.CancelledError):
            call.code = grpc.StatusCode.CANCELLED
        if not isinstance(error, Exception):
            return
        status = to_status(error)
        call.code = status.code
        if status.code is grpc.StatusCode.INTERNAL:
            logger().error(
                status.message, method=call.method, request_id=call.request_id, exc_info=error
            )
        await context.abort(
            status.code, status.message, ((REQUEST_ID, call.request_id), *status.trailers)
        )


def request_id(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """Return the caller's request ID, or a new one."""
    for name, value in metadata:
        if name == REQUEST_ID and isinstance(value, str) and _KEPT_REQUEST_ID.fullmatch(value):
            return value
    return str(uuid.uuid4())


def decode(raw: bytes, deserialize: Callable[[bytes], Any]) -> Any:
    """Return the message that the bytes are.

    Raises:
        MalformedMessageError: they are none of that type.
    """
    try:
        return deserialize(raw)
    except DecodeError as error:
        raise MalformedMessageError("invalid request: the message cannot be parsed") from error


async def _decoded(
    raws: AsyncIterator[bytes], deserialize: Callable[[bytes], Any]
) -> AsyncIterator[Any]:
    async for raw in raws:
        yield decode(raw, deserialize)
