"""One call that a server was asked for: what the pipeline and the handler know of it."""

import re
import time
import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpc

AUTHORIZATION = "authorization"
REQUEST_ID = "x-request-id"

Metadata = Sequence[tuple[str, str | bytes]]

_KEPT_REQUEST_ID = re.compile(r"[!-~]{1,128}")
"""A caller's request ID is kept when it is printable and short; else one is made."""


@dataclass(slots=True, eq=False)
class Call:
    """One call on its way through the pipeline; never holds its token."""

    method: str
    """`/package.Service/Method`, of which the caller may have made up every character."""
    request_id: str
    subject: str = ""
    """Whose token it bears; empty when nobody asked for one (AUTH-6)."""
    role: str | None = None
    """Role of its token."""
    peer: str = ""
    """Where it comes from, as gRPC names it; known once the handler runs."""
    code: grpc.StatusCode = grpc.StatusCode.OK
    started: float = field(default_factory=time.monotonic)


NO_CALL = Call(method="", request_id="")
"""Stands for the call where there is none: what a process does by itself."""

_current: ContextVar[Call] = ContextVar("call", default=NO_CALL)

begin = _current.set
"""Make a call the current one of this task."""

current_call = _current.get
"""Return the call that this task answers."""


class HandlerContext:
    """gRPC's context as handlers see it: without the token (AUD-2)."""

    __slots__ = ("_context",)

    def __init__(self, context: Any) -> None:
        """Stand before `context`."""
        self._context = context

    def __getattr__(self, name: str) -> Any:
        """Be the context in all else."""
        return getattr(self._context, name)

    def invocation_metadata(self) -> Metadata:
        """Return what the caller sent, its token left out."""
        return tuple(
            each for each in self._context.invocation_metadata() if each[0] != AUTHORIZATION
        )


def request_id(metadata: Metadata) -> str:
    """Return the caller's request ID, or a new one."""
    for name, value in metadata:
        if name == REQUEST_ID and isinstance(value, str) and _KEPT_REQUEST_ID.fullmatch(value):
            return value
    return str(uuid.uuid4())
