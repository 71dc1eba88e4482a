"""Answers as whole values.

An answer is never an exception: code, message, details, metadata and message
stand side by side, so that a test compares all of them at once.
"""

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from .judging import NonConformance

Metadata = Sequence[tuple[str, str | bytes]]


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


async def answer_of(
    call: Any, raw: bytes | None, response_type: type[Message] | None, started: float
) -> Answer:
    """Wait for the end of a call of grpc.aio's, and return how it ended.

    Args:
        call: the call.
        raw: the message that came; None: none did.
        response_type: what it is; None leaves it as bytes.
        started: when the call began, on the monotonic clock.

    Raises:
        NonConformance: the message is none of that type.
    """
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


def answer_by_hand(
    trailers: Mapping[str, str], body: bytes | None, response_type: type[Message]
) -> Answer:
    """Return how a call ended that no gRPC library made.

    Args:
        trailers: its trailers, with a `grpc-status`.
        body: the message that came; None: none did.
        response_type: what it is.

    Raises:
        NonConformance: the message is none of that type.
    """
    packed = trailers.get("grpc-status-details-bin", "")
    status = status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))
    violations, retry_delays = _told(status)
    return Answer(
        code=_CODES.get(trailers["grpc-status"], trailers["grpc-status"]),
        message=unquote(trailers.get("grpc-message", "")),
        response=None if body is None else parsed(body, response_type),
        violations=violations,
        retry_delays=retry_delays,
        trailing=tuple(trailers.items()),
    )


_CODES = {str(code.value[0]): code.name for code in grpc.StatusCode}
"""Names of the status codes, by number as it stands in `grpc-status`."""


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
    return _told(status)


def _told(status: status_pb2.Status | None) -> tuple[tuple[Violation, ...], tuple[float, ...]]:
    violations: list[Violation] = []
    delays: list[float] = []
    for detail in status.details if status else ():
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(bad):
            violations += [Violation(v.field, v.description) for v in bad.field_violations]
        elif detail.Unpack(retry):
            delays.append(retry.retry_delay.ToNanoseconds() / 1e9)
    return tuple(violations), tuple(delays)
