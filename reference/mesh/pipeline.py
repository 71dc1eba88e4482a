"""The server pipeline: all that happens to every call, in one fused handler.

It stands before the handlers of a server as the one that gRPC knows, and wraps each method once, at
its first call: an interceptor takes half of what the whole pipeline does besides, and a queue a
method, as gRPC keeps them, is gone through at every call of any of them. What concerns every call
(tokens, rate limits, metrics, traces) is a `Stage`: it may refuse a call before anything of its
body was read, and learns how the call ended. Requests come in as bytes, so that a body that does
not parse is the caller's fault and not an internal error (ERR-3).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from .aftermath import Aftermath
from .calls import REQUEST_ID, Call, HandlerContext, arrived, begin, current_call
from .errors import MalformedMessageError, ResourceExhaustedError, to_status
from .security import audit
from .security.refusals import RefusalError
from .sending import sent
from .stages import Stage
from .telemetry.logging import logger

Answer = Callable[[Any, Any], Awaitable[Any]]
"""What answers a call, by its requests and gRPC's context."""


class Pipeline(grpc.GenericRpcHandler):
    """Wraps the handler of every method.

    Args:
        stages: asked in order; told in reverse order.
        max_message_bytes: largest answer.
        min_compressed_bytes: smallest answer that is compressed, for callers who accept it.
    """

    def __init__(
        self, stages: Sequence[Stage], max_message_bytes: int, min_compressed_bytes: int
    ) -> None:
        """Start with no method wrapped, and no handler behind it."""
        # A stage that leaves one of the two out costs nothing there.
        self._admit = [each.admit for each in stages if type(each).admit is not Stage.admit]
        self._aftermath = Aftermath(stages)
        self._begun, self.ended = self._aftermath.begun, self._aftermath.ended
        self._max_message_bytes = max_message_bytes
        self._min_compressed_bytes = min_compressed_bytes
        self._behind: list[grpc.GenericRpcHandler] = []
        self._wrapped: dict[str, Any] = {}

    def add(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Let handlers stand behind this one; the first that knows a method has it."""
        self._behind += handlers

    def settle(self) -> None:
        """Tell the stages of all calls that have ended, now."""
        self._aftermath.settle()

    def service(self, details: Any) -> Any:
        """Admit a call, and return what answers it; gRPC calls this, once a call.

        That is the wrapped handler of its method, None when there is none, or what refuses it
        without having read anything. Only methods that there are get into a table.
        """
        method = details.method
        call, authorization = arrived(method, details.invocation_metadata)
        begin(call)
        if (wrapped := self._wrapped.get(method)) is None:
            if (handler := self.find(details)) is None:
                call.exists = False
            else:
                wrapped = self._wrapped[method] = self._wrap(method, handler)
        try:
            for admit in self._admit:
                admit(call, authorization)
        except Exception as error:  # noqa: BLE001 - raised to the caller, by its status
            return grpc.stream_stream_rpc_method_handler(partial(self._refuse, call, error))
        if wrapped is None:
            # gRPC says so itself, to whoever may ask.
            call.code = grpc.StatusCode.UNIMPLEMENTED.name
            self._begun(call)
            self.ended(call)
        return wrapped

    def find(self, details: Any) -> Any:
        """Return the handler of a method, as it was added; None: there is none."""
        found = (handlers.service(details) for handlers in self._behind)
        return next((handler for handler in found if handler is not None), None)

    def begin(self, context: Any) -> Call:
        """Tell the current call, context and stages of each other, and return the call."""
        call = current_call()
        call.ask_peer = context.peer
        context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
        self._begun(call)
        return call

    def _wrap(self, method: str, handler: Any) -> Any:
        del method
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._many(handler))
        return grpc.stream_unary_rpc_method_handler(_Unary(self, handler))

    def _many(self, handler: Any) -> Answer:
        """Return what answers a method with a stream."""
        streams, received, deserialize = _received(handler)
        behaviour = handler.stream_stream if streams else handler.unary_stream
        serialize = handler.response_serializer

        async def many(requests: Any, context: Any) -> None:
            raw = requests if streams else await context.read()
            call = self.begin(context)
            try:
                # Closed here and now when the caller leaves, not when it is collected.
                answers = behaviour(received(raw, deserialize), HandlerContext(context))
                async with aclosing(answers) as responses:
                    async for response in responses:
                        await sent(context.write(self.encode(response, serialize, context)))
            except BaseException as error:
                await self.fail(call, error, context)
                raise
            self.ended(call)

        return many

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

    async def _refuse(self, call: Call, error: Exception, _requests: Any, context: Any) -> None:
        """End a call that a stage did not admit."""
        self.begin(context)
        if isinstance(error, RefusalError):
            audit.refused(call, error)
        await self.fail(call, error, context)

    async def fail(self, call: Call, error: BaseException, context: Any) -> None:
        """End a call by an error: a status for the caller, and the cause for the log.

        It has ended for us before the caller reads of it: who has the status, and looks at the
        metrics, finds the call counted.
        """
        if not isinstance(error, Exception):
            if isinstance(error, asyncio.CancelledError):
                late = context.time_remaining() == 0
                code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
                call.code = code.name
            self.ended(call)
            return
        status = to_status(error)
        call.code = status.code.name
        if status.code is grpc.StatusCode.INTERNAL:
            logger().error(
                status.message, method=call.method, request_id=call.request_id, exc_info=error
            )
        self.ended(call)
        await context.abort(
            status.code, status.message, ((REQUEST_ID, call.request_id), *status.trailers)
        )


def decode(raw: Any, deserialize: Callable[[bytes], Any]) -> Any:
    """Return the message that the bytes are.

    Raises:
        MalformedMessageError: they are none of that type, or the request ended without any.
    """
    if raw is grpc.aio.EOF:
        raise MalformedMessageError("invalid request: no whole message came")
    try:
        return deserialize(raw)
    except DecodeError as error:
        raise MalformedMessageError("invalid request: the message cannot be parsed") from error


def _received(handler: Any) -> tuple[bool, Callable[..., Any], Callable[[bytes], Any]]:
    """Return whether requests stream, what makes messages of what came, and by which parser.

    For gRPC every request is a stream. Where it reads the one message by itself, it never answers
    a call that ends without one (ERR-4).
    """
    streams = handler.request_streaming
    return streams, _decoded if streams else decode, handler.request_deserializer


async def _decoded(
    raws: AsyncIterator[bytes], deserialize: Callable[[bytes], Any]
) -> AsyncIterator[Any]:
    async for raw in raws:
        yield decode(raw, deserialize)


class _Unary:
    """Answers a method with one message.

    Not as a function: gRPC asks twice a call whether what answers is asynchronous, and to find that
    out of a function takes as long as to verify a token. What can be awaited is so.
    """

    def __init__(self, pipeline: Pipeline, handler: Any) -> None:
        self._streams, self._received, self._deserialize = _received(handler)
        self._behaviour = handler.stream_unary if self._streams else handler.unary_unary
        self._serialize = handler.response_serializer
        self._begin, self._encode = pipeline.begin, pipeline.encode
        self._fail, self._ended = pipeline.fail, pipeline.ended

    def __await__(self) -> Any:
        raise TypeError("call it, and await what it returns")

    async def __call__(self, requests: Any, context: Any) -> bytes:
        raw = requests if self._streams else await context.read()
        call = self._begin(context)
        try:
            request = self._received(raw, self._deserialize)
            response = await self._behaviour(request, HandlerContext(context))
            data = self._encode(response, self._serialize, context)
        except BaseException as error:
            await self._fail(call, error, context)
            raise
        self._ended(call)
        return data
