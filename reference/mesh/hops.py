"""What goes along with a call from service to service: trace and baggage (FLOW-3, TRC-3, TRC-4)."""

from time import monotonic_ns

from .calls import current_call
from .telemetry.propagation import CARRIED, Pair
from .telemetry.tracing import Span, onward, tracer


class Hop:
    """One attempt of a call to another service.

    It carries what the call carries that this process answers; where it is traced, with a span of
    its own in the place of that call's.
    """

    __slots__ = ("_span", "metadata")

    def __init__(self, method: str) -> None:
        """Begin it.

        Args:
            method: path of what is called.
        """
        call, trace = current_call(), tracer()
        self._span: Span | None = None
        self.metadata: tuple[Pair, ...] = call.carried
        if trace is not None:
            self._span = trace.calls(method, call.span)
            self.metadata = onward(call.carried, self._span)

    def done(self, code: str) -> None:
        """End it, with the name of a status code."""
        if self._span is not None and (trace := tracer()) is not None:
            self._span.end(code, monotonic_ns())
            trace.export((self._span,))
            self._span = None


def without_own(metadata: tuple[tuple[str, str | bytes], ...], hop: Hop) -> tuple[Pair, ...]:
    """Return what a hop carries, unless the caller's metadata says it otherwise."""
    if not hop.metadata:
        return ()
    own = {name.lower() for name, _ in metadata} & CARRIED
    return tuple(pair for pair in hop.metadata if pair[0] not in own)
