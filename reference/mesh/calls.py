"""One call that a server was asked for: what the pipeline and the handler know of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from secrets import randbits
from typing import Any

from .telemetry.propagation import CARRIED, Pair
from .telemetry.tracing import OK, Span, Tracer, answered

AUTHORIZATION = "authorization"
REQUEST_ID = "x-request-id"

ENTRY = 32
"""Bytes that HTTP/2 counts for an entry besides its name and value."""

USER_AGENT = "user-agent"
"""What gRPC itself sends, and shows among the metadata."""

Metadata = Sequence[tuple[str, str | bytes]]

LONGEST_REQUEST_ID = 128
"""Characters of a caller's request ID that is kept."""


@dataclass(eq=False)
class Call:
    """One call on its way through the pipeline; never holds its token.

    What is not known when it arrives is the class's until then: half of making one is saved.
    """

    method: str
    """`/package.Service/Method`, of which the caller may have made up every character."""
    request_id: str
    metadata_size: int = 0
    """Bytes of its metadata, counted as HTTP/2 does: name, value and 32 more an entry."""
    started: int = 0
    """When it arrived, by the clock that never goes back; nanoseconds."""
    carried: tuple[Pair, ...] = ()
    """Its trace and its baggage, as they came."""
    ended: int = field(default=0, init=False)
    """When it ended, by the clock of `started`; 0 before."""
    subject: str = field(default="", init=False)
    """Whose token it bears; empty when nobody asked for one (AUTH-6)."""
    role: str | None = field(default=None, init=False)
    """Role of its token."""
    ask_peer: Callable[[], str] = field(default=str, init=False)
    """Asks gRPC where it comes from: only what is audited wants to know. To ask after its end would
    crash this process."""
    code: str = field(default=OK, init=False)
    """Name of the status code that it ended with."""
    exists: bool = field(default=True, init=False)
    """Whether there is such a method."""
    tracer: Tracer | None = field(default=None, init=False)
    """Traces it; None: nobody does."""
    _span: Span | None = field(default=None, init=False)
    _peer: str = field(default="", init=False)

    @property
    def span(self) -> Span | None:
        """Its span, made when it is asked for first; None: it is not traced."""
        if self._span is None and self.tracer is not None:
            self._span = self.tracer.answers(self.method, self.carried, self.started)
        return self._span

    @property
    def peer(self) -> str:
        """Where it comes from, as gRPC names it; unless it was kept, known while it is answered."""
        return self._peer or self.ask_peer()

    def keep_peer(self) -> None:
        """Remember where it comes from, for who asks when it is over."""
        self._peer = self.ask_peer()


NO_CALL = Call(method="", request_id="")
"""Stands for the call where there is none: what a process does by itself."""

begin = answered.set
"""Make a call the current one of this task."""


current_call: Callable[[], Call] = partial(answered.get, NO_CALL)
"""Returns the call that this task answers."""


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


SEVERAL = "several"
"""Stands for the values of several entries `authorization`; compared by identity."""

Authorization = str | bytes | None
"""Value of a call's entry `authorization`; None: it has none."""


def arrived(method: str, metadata: Metadata) -> tuple[Call, Authorization]:
    """Return the call that arrives with some metadata, and apart from it what must not be told.

    The metadata is gone through once, for all that is asked of it: five such loops would take as
    long as all that is done with what they find.
    """
    size, request = 0, ""
    carried: tuple[Pair, ...] = ()
    authorization: Authorization = None
    for name, value in metadata:
        if name == USER_AGENT:
            continue
        size += len(name) + len(value) + ENTRY
        if name == AUTHORIZATION:
            authorization = value if authorization is None else SEVERAL
        elif name == REQUEST_ID and not request:
            request = kept(value)
        elif name in CARRIED and isinstance(value, str):
            carried = (*carried, (name, value))
    return Call(method, request or request_id(), size, time.monotonic_ns(), carried), authorization


def kept(value: str | bytes) -> str:
    """Return a caller's request ID when it is visible ASCII and short, else nothing."""
    # As a regular expression it takes five times as long.
    good = (
        isinstance(value, str)
        and len(value) <= LONGEST_REQUEST_ID
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )
    return str(value) if good else ""


def request_id() -> str:
    """Return a UUID that nobody has: of this process, and numbered (RFC 9562, version 8).

    One at random (`uuid.uuid4`) takes ten times as long.
    """
    return f"{_PROCESS}{next(_NUMBERS):012x}"


def _process() -> str:
    digits = f"{randbits(72):018x}"
    return f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}-a{digits[15:]}-"


_PROCESS = _process()
"""What the request IDs of this process begin with."""

_NUMBERS = count()
