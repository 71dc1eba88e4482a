"""The CircuitBreaker: its table over every pair, and its behaviour against a model."""

from dataclasses import replace
from itertools import product
from typing import Any

import grpc_testing
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from reference.config.client import Circuit
from reference.mesh.breaker import (
    TRANSITIONS,
    CircuitBreaker,
    CircuitOpenError,
    Effect,
    Input,
    Permit,
    State,
)

SETTINGS = Circuit(
    failure_threshold=3,
    success_threshold=2,
    timeout=1.0,
    half_open_timeout=10.0,
    failures=frozenset({"UNAVAILABLE", "INTERNAL"}),
)


def _breaker(**changes: Any) -> tuple[CircuitBreaker, Any]:
    clock = grpc_testing.strict_fake_time(0.0)
    return CircuitBreaker("x", replace(SETTINGS, **changes), clock.time), clock


def _fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.admit().done("UNAVAILABLE")


def _state(breaker: CircuitBreaker) -> str:
    return breaker.state.value


def _half_open() -> tuple[CircuitBreaker, Any, Permit]:
    breaker, clock = _breaker()
    _fail(breaker, 3)
    clock.sleep_for(10.0)
    return breaker, clock, breaker.admit()


def test_the_table_has_every_pair() -> None:
    assert set(TRANSITIONS) == set(product(State, Input))


@pytest.mark.parametrize(("pair", "outcome"), TRANSITIONS.items(), ids=str)
def test_only_a_beginning_changes_the_state(
    pair: tuple[State, Input], outcome: tuple[Effect, State]
) -> None:
    begins = outcome[0] in (Effect.BEGIN, Effect.BEGIN_AND_ADMIT)

    assert (pair[0] is not outcome[1]) == begins


@pytest.mark.parametrize("given", [one for one in Input if one is not Input.CALL])
def test_nothing_but_a_call_leaves_the_open_state(given: Input) -> None:
    assert TRANSITIONS[State.OPEN, given][1] is State.OPEN


def test_consecutive_failures_open_it() -> None:
    breaker, _ = _breaker()

    _fail(breaker, 2)
    assert _state(breaker) == "closed"
    _fail(breaker)

    assert _state(breaker) == "open"
    with pytest.raises(CircuitOpenError, match=r"^circuit open$"):
        breaker.admit()


@pytest.mark.parametrize("code", ["OK", "NOT_FOUND"])
def test_what_does_not_blame_the_server_resets_the_count(code: str) -> None:
    breaker, _ = _breaker()

    _fail(breaker, 2)
    breaker.admit().done(code)
    _fail(breaker, 2)

    assert _state(breaker) == "closed"


def test_a_caller_that_gave_up_changes_nothing() -> None:
    breaker, _ = _breaker()

    _fail(breaker, 2)
    breaker.admit().abandon()
    _fail(breaker)

    assert _state(breaker) == "open"


def test_trials_begin_when_the_wait_is_over_and_not_before() -> None:
    breaker, clock = _breaker()
    _fail(breaker, 3)

    clock.sleep_for(9.999)
    with pytest.raises(CircuitOpenError):
        breaker.admit()
    clock.sleep_for(0.001)
    breaker.admit()

    assert _state(breaker) == "half-open"


def test_no_more_trials_at_once_than_successes_are_needed() -> None:
    breaker, _, first = _half_open()

    breaker.admit()
    with pytest.raises(CircuitOpenError):
        breaker.admit()
    first.abandon()

    breaker.admit()
    assert _state(breaker) == "half-open"


def test_enough_successes_close_it() -> None:
    breaker, _, first = _half_open()

    first.done("OK")
    assert _state(breaker) == "half-open"
    breaker.admit().done("NOT_FOUND")

    assert _state(breaker) == "closed"


def test_a_failed_trial_starts_the_wait_anew() -> None:
    breaker, clock, first = _half_open()

    clock.sleep_for(5.0)
    first.done("UNAVAILABLE")
    clock.sleep_for(9.0)
    with pytest.raises(CircuitOpenError):
        breaker.admit()
    clock.sleep_for(1.0)

    breaker.admit()


def test_a_call_of_an_earlier_period_counts_for_nothing() -> None:
    breaker, clock = _breaker()
    late = breaker.admit()
    _fail(breaker, 3)
    clock.sleep_for(10.0)
    breaker.admit()

    late.done("UNAVAILABLE")

    assert _state(breaker) == "half-open"
    assert "half-open, count=0, in_flight=1" in repr(breaker)


class Model(RuleBasedStateMachine):
    """The breaker beside a model that keeps whole histories instead of counts."""

    permits: Bundle[tuple[Permit, int]] = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.clock = _breaker()
        self.period = 0
        self.state = State.CLOSED
        self.since = 0.0
        self.codes: list[str] = []
        self.out = 0

    def _enter(self, state: State) -> None:
        self.state, self.since = state, self.clock.time()
        self.period += 1
        self.codes, self.out = [], 0

    @rule(target=permits)
    def call(self) -> Any:
        if self.state is State.OPEN and self.clock.time() - self.since >= 10.0:
            self._enter(State.HALF_OPEN)
        allowed = self.state is State.CLOSED or (self.state is State.HALF_OPEN and self.out < 2)
        try:
            permit = self.breaker.admit()
        except CircuitOpenError:
            assert not allowed
            return (None, -1)
        assert allowed
        self.out += 1
        return (permit, self.period)

    @rule(given=consumes(permits), code=st.sampled_from(["OK", "NOT_FOUND", "UNAVAILABLE", ""]))
    def end(self, given: tuple[Permit | None, int], code: str) -> None:
        permit, period = given
        if permit is None:
            return
        if code:
            permit.done(code)
        else:
            permit.abandon()
        if period != self.period:
            return
        self.out -= 1
        self.codes += [code] if code else []
        failed = [each == "UNAVAILABLE" for each in self.codes]
        if (self.state is State.CLOSED and failed[-3:] == [True] * 3) or (
            self.state is State.HALF_OPEN and any(failed)
        ):
            self._enter(State.OPEN)
        elif self.state is State.HALF_OPEN and failed.count(False) == 2:
            self._enter(State.CLOSED)

    @rule(seconds=st.sampled_from([0.5, 5.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.clock.sleep_for(seconds)

    @invariant()
    def same_state(self) -> None:
        assert self.breaker.state is self.state


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
