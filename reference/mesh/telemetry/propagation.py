"""The trace of a call and its baggage as they travel (W3C Trace Context, W3C Baggage).

Read with one regular expression, for what there is of each call: OpenTelemetry's own propagators
make a context of it first.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
BAGGAGE = "baggage"

CARRIED = frozenset({TRACEPARENT, TRACESTATE, BAGGAGE})
"""Entries of a call's metadata that go along with every call it leads to (FLOW-3)."""

Pair = tuple[str, str]

_FORM = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?",
    re.ASCII,
)
_FIRST_VERSION = "00"


@dataclass(frozen=True, slots=True)
class Parent:
    """The span that a call continues."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    state: str = ""
    """Its `tracestate`."""


def parent_of(carried: Sequence[Pair]) -> Parent | None:
    """Return the span that a call continues; None where it brings none that is one (TRC-9)."""
    parents = [value for name, value in carried if name == TRACEPARENT]
    # Two of them are none: nobody knows which is meant.
    if len(parents) != 1 or not (match := _FORM.fullmatch(parents[0])):
        return None
    version, trace_id, span_id, rest = match.groups()
    if version == _FIRST_VERSION and rest:
        return None
    state = ",".join(value for name, value in carried if name == TRACESTATE)
    return Parent(trace_id, span_id, state)


def traceparent(trace_id: str, span_id: str, *, sampled: bool) -> str:
    """Return what tells a service which span its own continues."""
    return f"{_FIRST_VERSION}-{trace_id}-{span_id}-0{sampled:d}"
