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

from .propagation import TRACEPARENT, TRACESTATE, Pair, Parent, parent_of, traceparent

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

    def end(self, code: str, clock: int) -> None:
        """End it, with the name of a status code, at a moment by the clock of its beginning."""
        self.code = code
        self.ended = self.began + clock - self.clock


class Tracer:
    """Makes the spans of a process.

    Args:
        export: takes spans that have ended and are sampled; never waits.
        ratio: part of the traces that is sampled, 0 to 1: all services choose the same ones.
    """

    def __init__(self, export: Callable[[Sequence[Span]], None], ratio: float = 1.0) -> None:
        """Begin with no span."""
        self._export = export
        self._below = round(ratio * EVERY)

    def answers(self, method: str, carried: Sequence[Pair], clock: int) -> Span:
        """Make the span of a call that is answered: the caller's trace goes on, or one begins.

        Args:
            method: `/package.Service/Method`.
            carried: what the caller told.
            clock: when it arrived, by the clock that never goes back; nanoseconds.
        """
        return self._make(method, True, clock, parent_of(carried) if carried else None)

    def calls(self, method: str, within: Span | None) -> Span:
        """Begin the span of a call to another service, within that of the call that is answered."""
        return self._make(method, False, clock_ns(), within)

    def export(self, spans: Sequence[Span]) -> None:
        """Let spans that have ended go, those that are sampled."""
        if self._below != EVERY:
            spans = [span for span in spans if span.sampled]
        if spans:
            self._export(spans)

    def _make(
        self,
        method: str,
        server: bool,  # noqa: FBT001 - by position: names take as long as all else here
        clock: int,
        within: Parent | Span | None,
    ) -> Span:
        # One random number for both IDs; no secret: nothing is asked of the kernel.
        digits = f"{getrandbits(192):048x}"
        trace_id, parent_id, state = digits[:32], "", ""
        if within is not None:
            trace_id, parent_id, state = within.trace_id, within.span_id, within.state
        sampled = self._below == EVERY or int(trace_id[16:], 16) < self._below
        began = time_ns() - clock_ns() + clock
        return Span(method, server, trace_id, digits[32:], parent_id, state, sampled, began, clock)


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
