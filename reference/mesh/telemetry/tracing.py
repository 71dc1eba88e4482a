"""Spans of calls (document: Distributed Tracing): plain records, exported by another thread.

A span of OpenTelemetry's own library takes 75 us of a call, of which making it is the most. What is
known when a call ends is kept here, and made one when it is exported.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from random import getrandbits
from time import monotonic_ns as clock_ns
from time import time_ns
from typing import Any, Protocol

from .propagation import TRACEPARENT, TRACESTATE, Pair, parent_of, traceparent

OK = "OK"

EVERY = 1 << 64
"""No trace ID's lower half is as much."""


@dataclass(slots=True, eq=False)
class Span:
    """One side of one call."""

    method: str
    """`/package.Service/Method`."""
    server: bool
    """Whether it is the side that answers."""
    trace_id: str
    span_id: str
    parent_id: str
    """Empty where it begins its trace."""
    state: str
    sampled: bool
    began: int
    """Nanoseconds since 1970."""
    clock: int
    """The same moment by the clock that never goes back; nanoseconds."""
    ended: int = 0
    """Nanoseconds since 1970."""
    code: str = OK
    """Name of the status code."""


class Tracer:
    """Makes the spans of a process.

    Args:
        export: takes a span that has ended and is sampled; never waits.
        ratio: part of the traces that is sampled, 0 to 1: all services choose the same ones.
    """

    def __init__(self, export: Callable[[Span], None], ratio: float = 1.0) -> None:
        """Begin with no span."""
        self._export = export
        self._below = round(ratio * EVERY)

    def answers(self, method: str, carried: Sequence[Pair]) -> Span:
        """Begin the span of a call that is answered: the caller's trace goes on, or one begins."""
        parent = parent_of(carried) if carried else None
        if parent is None:
            return self._begin(method, True)
        return self._begin(method, True, parent.trace_id, parent.span_id, parent.state)

    def calls(self, method: str, within: Span | None) -> Span:
        """Begin the span of a call to another service, within that of the call that is answered."""
        if within is None:
            return self._begin(method, False)
        return self._begin(method, False, within.trace_id, within.span_id, within.state)

    def end(self, span: Span, code: str) -> None:
        """End a span, with the name of a status code."""
        span.code = code
        span.ended = span.began + clock_ns() - span.clock
        if span.sampled:
            self._export(span)

    def _begin(
        self,
        method: str,
        server: bool,  # noqa: FBT001 - by position: names take as long as all else here
        trace_id: str = "",
        parent_id: str = "",
        state: str = "",
    ) -> Span:
        # One random number for both IDs; no secret: nothing is asked of the kernel.
        digits = f"{getrandbits(192):048x}"
        trace_id = trace_id or digits[:32]
        sampled = self._below == EVERY or int(trace_id[16:], 16) < self._below
        return Span(
            method, server, trace_id, digits[32:], parent_id, state, sampled, time_ns(), clock_ns()
        )


def onward(carried: Sequence[Pair], span: Span) -> tuple[Pair, ...]:
    """Return what a call to another service carries, whose span this is."""
    parent = traceparent(span.trace_id, span.span_id, sampled=span.sampled)
    state = ((TRACESTATE, span.state),) if span.state else ()
    rest = (pair for pair in carried if pair[0] not in (TRACEPARENT, TRACESTATE))
    return ((TRACEPARENT, parent), *state, *rest)


class Traced(Protocol):
    """What may have a span."""

    @property
    def span(self) -> Span | None:
        """None: it is not traced."""


answered: ContextVar[Any] = ContextVar("call")
"""The call that this task answers, if it answers one: a second variable beside it, for its trace
alone, would take a fortieth of a call."""


def current_trace() -> str:
    """Return the trace ID of the call that this task answers; empty where it is not traced."""
    call: Traced | None = answered.get(None)
    return "" if call is None or call.span is None else call.span.trace_id


_current: Tracer | None = None


def use(tracer: Tracer | None) -> None:
    """Let this process trace its calls, or no longer: like its log, it has one tracer."""
    global _current  # noqa: PLW0603 - see above
    _current = tracer


def tracer() -> Tracer | None:
    """Return the tracer of this process; None where it traces nothing."""
    return _current
