"""Calls that a driver makes: how one is asked for, and how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration

from blackhole.conformance.v1 import driver_pb2 as pb

from .calls import Answer, Metadata
from .replies import PING

_ONE_MESSAGE = frozenset({"UNARY", "SERVER_STREAM"})
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call that the driver made ended, as its caller sees it."""

    code: str
    """Canonical name of the status code."""
    message: str = ""
    details: tuple[AnyMessage, ...] = ()
    """Of google.rpc.Status, to be unpacked."""
    payloads: tuple[bytes, ...] = ()
    initial: tuple[tuple[str, str | bytes], ...] = field(default=(), repr=False)
    trailing: tuple[tuple[str, str | bytes], ...] = field(default=(), repr=False)
    elapsed: float = field(default=0.0, compare=False)
    """Seconds from the suite's request to the driver's answer, by the suite's own clock."""
    since: float = field(default=0.0, compare=False, repr=False)
    """When that request was made, on the monotonic clock."""

    def __repr__(self) -> str:
        """Show what a test compares, shortened."""
        parts = [self.code]
        if self.message:
            parts.append(repr(self.message))
        if self.payloads:
            parts.append(f"payloads [{', '.join(_shortened(one) for one in self.payloads[:8])}]")
        if self.details:
            parts.append(f"details [{', '.join(one.TypeName() for one in self.details)}]")
        return f"Outcome({', '.join(parts)}, {self.elapsed * 1000:.1f} ms)"


def call_request(  # noqa: PLR0913 - a call is described by these
    service: str,
    *payloads: bytes,
    method: str = "UNARY",
    version: str = "",
    timeout: float | None = None,
    metadata: Metadata = (),
    cancel_after: float | None = None,
) -> pb.CallRequest:
    """Return the message that asks for a call; see `Driver.call`."""
    if not payloads and method in _ONE_MESSAGE:
        payloads = (PING,)
    return pb.CallRequest(
        service=service,
        version=version,
        method=pb.ProbeMethod.Value(f"PROBE_METHOD_{method}"),
        payloads=payloads,
        timeout=_duration(timeout),
        metadata=[
            pb.MetadataEntry(key=key, value=value.encode() if isinstance(value, str) else value)
            for key, value in metadata
        ],
        cancel_after=_duration(cancel_after),
    )


def outcome_of(answer: Answer, since: float = 0.0) -> Outcome:
    """Return what an answer of Call or Submit says of the call that was made."""
    response = answer.response
    code = response.status.code
    called = isinstance(response, pb.CallResponse)
    results = (response.result,) if not called and code == 0 else ()
    return Outcome(
        code=_NAMES.get(code, f"code {code}"),
        message=response.status.message,
        details=tuple(response.status.details),
        payloads=tuple(response.payloads) if called else results,
        initial=_entries(response.initial_metadata) if called else (),
        trailing=_entries(response.trailing_metadata) if called else (),
        elapsed=answer.elapsed,
        since=since,
    )


def _duration(value: float | None) -> Duration | None:
    if value is None:
        return None
    duration = Duration()
    duration.FromNanoseconds(round(value * 1e9))
    return duration


def _entries(metadata: Sequence[pb.MetadataEntry]) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(
        (entry.key, entry.value if entry.key.endswith("-bin") else entry.value.decode("latin-1"))
        for entry in metadata
    )


def _shortened(payload: bytes) -> str:
    return repr(payload) if len(payload) <= 40 else f"{payload[:40]!r}… ({len(payload)} B)"  # noqa: PLR2004
