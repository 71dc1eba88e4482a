"""The server pipeline: all that happens to every call, in one fused interceptor.

One wrapper a method is made at its first call and kept; a chain of stock
interceptors costs several times as much. What concerns every call (tokens, rate
limits, metrics, traces) is a `Stage`: it may refuse a call before anything of its
body was read, and learns how the call ended. Requests come in as bytes, so that a
body that does not parse is the caller's fault and not an internal error (ERR-3).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from .calls import REQUEST_ID, Call, HandlerContext, arrived, begin, current_call
from .errors import MalformedMessageError, ResourceExhaustedError, to_status
from .security import audit
from .security.refusals import RefusalError
from .sending import sent
from .stages import Stage
from .telemetry.logging import logger


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
        # A stage that leaves one of the two out costs nothing there.
        self._admit = [each.admit for each in stages if type(each).admit is not Stage.admit]
        self._began = [each.began for each in stages if type(each).began is not Stage.began]
        self._done = [each.done for each in stages if type(each).done is not Stage.done][::-1]
        self._max_message_bytes = max_message_bytes
        self._min_compressed_bytes = min_compressed_bytes
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """Admit a call, and return what answers it.

        That is the wrapped handler of its method, None when there is none, or what refuses it
        without having read anything. Only methods that there are get into a table.
        """
        method = details.method
        call, authorization = arrived(method, details.invocation_metadata)
        begin(call)
        if (wrapped := self._wrapped.get(method)) is None:
            handler = await continuation(details)
            if handler is None:
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
            call.code = grpc.StatusCode.UNIMPLEMENTED
            self._tell_begun(call)
            self._tell_done(call)
        return wrapped

    def _begin(self, call: Call, context: Any) -> Call:
        """Tell call, context and stages of each other, and return the call."""
        call.ask_peer = context.peer
        context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
        self._tell_begun(call)
        return call

    def _tell_begun(self, call: Call) -> None:
        for began in self._began:
            began(call)

    def _tell_done(self, call: Call) -> None:
        for done in self._done:
            done(call)

    def _wrap(self, method: str, handler: Any) -> Any:
        del method
        behaviour = {
            (False, False): handler.unary_unary,
            (False, True): handler.unary_stream,
            (True, False): handler.stream_unary,
            (True, True): handler.stream_stream,
        }[handler.request_streaming, handler.response_streaming]
        # For gRPC every request is a stream. Where it reads the one message by itself, it never
        # answers a call that ends without one (ERR-4).
        streams = handler.request_streaming
        received = partial(
            _decoded if streams else decode, deserialize=handler.request_deserializer
        )

        async def one(requests: Any, context: Any) -> bytes:
            raw = requests if streams else await context.read()
            call = self._begin(current_call(), context)
            try:
                response = await behaviour(received(raw), HandlerContext(context))
                return self.encode(response, handler.response_serializer, context)
            except BaseException as error:
                await self._fail(call, error, context)
                raise
            finally:
                self._tell_done(call)

        async def many(requests: Any, context: Any) -> None:
            raw = requests if streams else await context.read()
            call = self._begin(current_call(), context)
            try:
                # Closed here and now when the caller leaves, not when it is collected.
                async with aclosing(behaviour(received(raw), HandlerContext(context))) as responses:
                    async for response in responses:
                        data = self.encode(response, handler.response_serializer, context)
                        await sent(context.write(data))
            except BaseException as error:
                await self._fail(call, error, context)
                raise
            finally:
                self._tell_done(call)

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(many)
        return grpc.stream_unary_rpc_method_handler(one)

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
        self._begin(call, context)
        try:
            if isinstance(error, RefusalError):
                audit.refused(call, error)
            await self._fail(call, error, context)
        finally:
            self._tell_done(call)

    async def _fail(self, call: Call, error: BaseException, context: Any) -> None:
        """End a call by an error: a status for the caller, and the cause for the log."""
        if isinstance(error, asyncio.CancelledError):
            late = context.time_remaining() == 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            call.code = code
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


async def _decoded(
    raws: AsyncIterator[bytes], deserialize: Callable[[bytes], Any]
) -> AsyncIterator[Any]:
    async for raw in raws:
        yield decode(raw, deserialize)
