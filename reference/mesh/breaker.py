"""CircuitBreaker: a service that fails is left alone for a while (document: Circuit Breaker).

The state machine is the table `TRANSITIONS`. A call asks for a permit and
reports its end by it; what was begun in an earlier state counts for nothing.
"""

import time
from collections.abc import Callable
from enum import StrEnum, auto

from ..config.client import Circuit
from .errors import UnavailableError
from .telemetry.logging import logger

OK = "OK"


class State(StrEnum):
    """Of a circuit; the values are the words of `ReportResponse`."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Input(StrEnum):
    """What can happen to a circuit."""

    CALL = auto()
    """A call asks, and there is a place: always while closed, when the wait is over while
    open, when fewer than `success_threshold` trials are out while half-open."""
    CALL_TOO_MANY = auto()
    """A call asks, and there is none."""
    SUCCESS = auto()
    LAST_SUCCESS = auto()
    """The success that reaches `success_threshold`."""
    FAILURE = auto()
    LAST_FAILURE = auto()
    """The failure that reaches `failure_threshold`."""
    ABANDONED = auto()
    """The caller gave up: nothing is known of the server."""


class Effect(StrEnum):
    """What a transition does besides."""

    NOTHING = auto()
    ADMIT = auto()
    REFUSE = auto()
    COUNT = auto()
    RESET = auto()
    BEGIN = auto()
    """Enter a state: its counts start at zero, and earlier permits mean nothing."""
    BEGIN_AND_ADMIT = auto()


_S, _I, _E = State, Input, Effect

TRANSITIONS: dict[tuple[State, Input], tuple[Effect, State]] = {
    (_S.CLOSED, _I.CALL): (_E.ADMIT, _S.CLOSED),
    (_S.CLOSED, _I.CALL_TOO_MANY): (_E.REFUSE, _S.CLOSED),
    (_S.CLOSED, _I.SUCCESS): (_E.RESET, _S.CLOSED),
    (_S.CLOSED, _I.LAST_SUCCESS): (_E.RESET, _S.CLOSED),
    (_S.CLOSED, _I.FAILURE): (_E.COUNT, _S.CLOSED),
    (_S.CLOSED, _I.LAST_FAILURE): (_E.BEGIN, _S.OPEN),
    (_S.CLOSED, _I.ABANDONED): (_E.NOTHING, _S.CLOSED),
    (_S.OPEN, _I.CALL): (_E.BEGIN_AND_ADMIT, _S.HALF_OPEN),
    (_S.OPEN, _I.CALL_TOO_MANY): (_E.REFUSE, _S.OPEN),
    (_S.OPEN, _I.SUCCESS): (_E.NOTHING, _S.OPEN),
    (_S.OPEN, _I.LAST_SUCCESS): (_E.NOTHING, _S.OPEN),
    (_S.OPEN, _I.FAILURE): (_E.NOTHING, _S.OPEN),
    (_S.OPEN, _I.LAST_FAILURE): (_E.NOTHING, _S.OPEN),
    (_S.OPEN, _I.ABANDONED): (_E.NOTHING, _S.OPEN),
    (_S.HALF_OPEN, _I.CALL): (_E.ADMIT, _S.HALF_OPEN),
    (_S.HALF_OPEN, _I.CALL_TOO_MANY): (_E.REFUSE, _S.HALF_OPEN),
    (_S.HALF_OPEN, _I.SUCCESS): (_E.COUNT, _S.HALF_OPEN),
    (_S.HALF_OPEN, _I.LAST_SUCCESS): (_E.BEGIN, _S.CLOSED),
    (_S.HALF_OPEN, _I.FAILURE): (_E.BEGIN, _S.OPEN),
    (_S.HALF_OPEN, _I.LAST_FAILURE): (_E.BEGIN, _S.OPEN),
    (_S.HALF_OPEN, _I.ABANDONED): (_E.NOTHING, _S.HALF_OPEN),
}
"""(state, input) to (effect, next state), over every pair."""


class CircuitOpenError(UnavailableError):
    """The circuit is open: nothing was sent (CBR-2)."""

    def __init__(self) -> None:
        """Say so in the words of the requirement."""
        super().__init__("circuit open")


class Permit:
    """Leave to make one call. Its end is reported once: `done` or `abandon`."""

    __slots__ = ("_breaker", "_period")

    def __init__(self, breaker: "CircuitBreaker", period: int) -> None:
        """Belong to one period of the breaker."""
        self._breaker = breaker
        self._period = period

    def done(self, code: str) -> None:
        """Report the code that the call ended with."""
        self._breaker.ended(self._period, failed=code in self._breaker.failures)

    def abandon(self) -> None:
        """Report that the caller gave up."""
        self._breaker.ended(self._period, failed=None)


class CircuitBreaker:
    """The breaker of one service.

    Args:
        name: the service, for the log.
        settings: thresholds, and the wait in seconds.
        clock: seconds, never going back.
    """

    def __init__(
        self, name: str, settings: Circuit, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start closed."""
        self._name = name
        self._settings = settings
        self._clock = clock
        self._period = 0
        self._count = 0
        self._in_flight = 0
        self._began = clock()
        self.failures = settings.failures
        self.state = State.CLOSED

    def __repr__(self) -> str:
        """Show the state and its counts."""
        return (
            f"CircuitBreaker({self._name!r}, {self.state.value}, count={self._count},"
            f" in_flight={self._in_flight})"
        )

    def admit(self) -> Permit:
        """Ask for leave to make a call.

        Raises:
            CircuitOpenError: the service is left alone for now.
        """
        effect = self._take(Input.CALL if self._has_place() else Input.CALL_TOO_MANY)
        if effect is Effect.REFUSE:
            raise CircuitOpenError
        self._in_flight += 1
        return Permit(self, self._period)

    def ended(self, period: int, *, failed: bool | None) -> None:
        """Learn how a call ended: whether it failed; None when its caller gave up."""
        if period != self._period:
            return
        self._in_flight -= 1
        if failed is None:
            self._take(Input.ABANDONED)
        elif failed:
            last = self._count + 1 >= self._settings.failure_threshold
            self._take(Input.LAST_FAILURE if last else Input.FAILURE)
        else:
            last = self._count + 1 >= self._settings.success_threshold
            self._take(Input.LAST_SUCCESS if last else Input.SUCCESS)

    def _has_place(self) -> bool:
        if self.state is State.OPEN:
            return self._clock() - self._began >= self._settings.half_open_timeout
        if self.state is State.HALF_OPEN:
            return self._in_flight < self._settings.success_threshold
        return True

    def _take(self, given: Input) -> Effect:
        effect, state = TRANSITIONS[self.state, given]
        if effect is Effect.RESET:
            self._count = 0
        elif effect is Effect.COUNT:
            self._count += 1
        elif effect is Effect.BEGIN or effect is Effect.BEGIN_AND_ADMIT:
            self._begin(state)
        return effect

    def _begin(self, state: State) -> None:
        logger().info("circuit", target=self._name, before=self.state.value, state=state.value)
        self.state = state
        self._period += 1
        self._count = self._in_flight = 0
        self._began = self._clock()
