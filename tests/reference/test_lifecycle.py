"""The life of a service: its table over every pair, and against a model of its process."""

from itertools import product

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reference.orchestrator.lifecycle import SETTLED, TRANSITIONS, Effect, Event, State

CHANGES = {
    (State.WAITING, Event.DEPENDENCIES_RUN): (Effect.SPAWN, State.STARTING),
    (State.WAITING, Event.STOP): (Effect.NOTHING, State.STOPPED),
    (State.STARTING, Event.SERVES): (Effect.NOTHING, State.RUNNING),
    (State.STARTING, Event.FAILS): (Effect.KILL, State.UNHEALTHY),
    (State.STARTING, Event.ENDED): (Effect.BACK_OFF, State.BACKING_OFF),
    (State.STARTING, Event.ENDED_FOR_GOOD): (Effect.GIVE_UP, State.FAILED),
    (State.STARTING, Event.STOP): (Effect.TERMINATE, State.STOPPING),
    (State.RUNNING, Event.FAILS): (Effect.KILL, State.UNHEALTHY),
    (State.RUNNING, Event.ENDED): (Effect.BACK_OFF, State.BACKING_OFF),
    (State.RUNNING, Event.ENDED_FOR_GOOD): (Effect.GIVE_UP, State.FAILED),
    (State.RUNNING, Event.STOP): (Effect.TERMINATE, State.STOPPING),
    (State.UNHEALTHY, Event.ENDED): (Effect.BACK_OFF, State.BACKING_OFF),
    (State.UNHEALTHY, Event.ENDED_FOR_GOOD): (Effect.GIVE_UP, State.FAILED),
    (State.UNHEALTHY, Event.STOP): (Effect.NOTHING, State.STOPPING),
    (State.BACKING_OFF, Event.DELAY_OVER): (Effect.SPAWN, State.STARTING),
    (State.BACKING_OFF, Event.START): (Effect.SPAWN, State.STARTING),
    (State.BACKING_OFF, Event.STOP): (Effect.NOTHING, State.STOPPED),
    (State.STOPPING, Event.ENDED): (Effect.NOTHING, State.STOPPED),
    (State.STOPPING, Event.ENDED_FOR_GOOD): (Effect.NOTHING, State.STOPPED),
    (State.STOPPED, Event.START): (Effect.NOTHING, State.WAITING),
    (State.FAILED, Event.START): (Effect.NOTHING, State.WAITING),
    (State.FAILED, Event.STOP): (Effect.NOTHING, State.STOPPED),
}
"""Said twice, so that no pair changes by accident."""


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair(state: State, event: Event) -> None:
    assert TRANSITIONS[state, event] == CHANGES.get((state, event), (Effect.NOTHING, state))


class Model(RuleBasedStateMachine):
    """A service and its process: what can happen does, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State.WAITING
        self.process = False
        self.told_to_end = False
        self.delay = False

    def _happens(self, event: Event) -> None:
        effect, self.state = TRANSITIONS[self.state, event]
        match effect:
            case Effect.SPAWN:
                assert not self.process, "a second process"
                self.process, self.told_to_end, self.delay = True, False, False
            case Effect.KILL | Effect.TERMINATE:
                assert self.process
                self.told_to_end = True
            case Effect.BACK_OFF:
                self.delay = True

    @rule()
    def dependencies_run(self) -> None:
        self._happens(Event.DEPENDENCIES_RUN)

    @precondition(lambda self: self.process)
    @rule()
    def serves(self) -> None:
        self._happens(Event.SERVES)

    @precondition(lambda self: self.process)
    @rule()
    def fails(self) -> None:
        self._happens(Event.FAILS)

    @precondition(lambda self: self.process)
    @rule()
    def ends(self) -> None:
        self.process = False
        self._happens(Event.ENDED)

    @precondition(lambda self: self.process)
    @rule()
    def ends_for_good(self) -> None:
        self.process = False
        self._happens(Event.ENDED_FOR_GOOD)

    @precondition(lambda self: self.delay)
    @rule()
    def delay_is_over(self) -> None:
        self.delay = False
        self._happens(Event.DELAY_OVER)

    @rule()
    def stop(self) -> None:
        self._happens(Event.STOP)

    @rule()
    def start(self) -> None:
        self._happens(Event.START)

    @invariant()
    def a_process_is_there_in_its_states_and_no_others(self) -> None:
        theirs = {State.STARTING, State.RUNNING, State.UNHEALTHY, State.STOPPING}
        assert self.process == (self.state in theirs)

    @invariant()
    def whoever_stops_or_is_replaced_was_told(self) -> None:
        assert self.told_to_end or self.state not in {State.UNHEALTHY, State.STOPPING}

    @invariant()
    def it_goes_on_by_itself_or_is_settled(self) -> None:
        """Its process, a delay or its dependencies bring it on; else somebody must."""
        by_itself = self.process or self.delay or self.state is State.WAITING
        assert by_itself or self.state in SETTLED


Model.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestModel = Model.TestCase
