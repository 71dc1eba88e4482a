"""The life of a service: every pair of the table, and whole lives."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reference.orchestrator.lifecycle import SETTLED, TRANSITIONS, Effect, Event, State

ALIVE = frozenset((State.STARTING, State.RUNNING, State.UNHEALTHY, State.STOPPING))
"""States in which there is a process."""


QUIET = (Event.SERVES, Event.STOP, Event.START, Event.ENDED, Event.ENDED_FOR_GOOD)
"""Events that may change a state without anything to be done."""


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair_is_in_the_table(state: State, event: Event) -> None:
    effect, after = TRANSITIONS[state, event]

    spawns = effect is Effect.SPAWN
    assert spawns == (after is State.STARTING and state is not State.STARTING)
    assert (effect is Effect.TERMINATE) <= (event is Event.STOP)
    assert (effect in (Effect.KILL, Effect.TERMINATE)) <= (state in ALIVE)
    if effect is Effect.NOTHING and after is not state:
        assert event in QUIET


@pytest.mark.parametrize("state", State)
def test_who_is_told_to_stop_stops(state: State) -> None:
    _, after = TRANSITIONS[state, Event.STOP]

    assert after in (State.STOPPING, State.STOPPED)
    if after is State.STOPPING:
        assert TRANSITIONS[after, Event.ENDED] == (Effect.NOTHING, State.STOPPED)


@pytest.mark.parametrize("state", SETTLED)
def test_who_has_settled_stays_so_by_itself(state: State) -> None:
    for event in (Event.DELAY_OVER, Event.DEPENDENCIES_RUN, Event.SERVES):
        assert TRANSITIONS[state, event] == (Effect.NOTHING, state)


class Life(RuleBasedStateMachine):
    """Any order of events that can be: there is never more than one process."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State.WAITING
        self.processes = 0
        self.waits = False

    def post(self, event: Event) -> None:
        effect, self.state = TRANSITIONS[self.state, event]
        if effect is Effect.SPAWN:
            self.processes += 1
            self.waits = False
        self.waits = self.waits or effect is Effect.BACK_OFF

    @rule(event=st.sampled_from([Event.DEPENDENCIES_RUN, Event.STOP, Event.START]))
    def somebody_wants(self, event: Event) -> None:
        self.post(event)

    @rule(event=st.sampled_from([Event.SERVES, Event.FAILS]))
    def the_process_does(self, event: Event) -> None:
        if self.processes:
            self.post(event)

    @rule(event=st.sampled_from([Event.ENDED, Event.ENDED_FOR_GOOD]))
    def the_process_ends(self, event: Event) -> None:
        if self.processes:
            self.processes -= 1
            self.post(event)

    @rule()
    def time_passes(self) -> None:
        if self.waits and self.state is State.BACKING_OFF:
            self.post(Event.DELAY_OVER)

    @invariant()
    def there_is_one_process_in_its_states_and_none_in_the_others(self) -> None:
        assert self.processes == (self.state in ALIVE)

    @invariant()
    def it_goes_on_by_itself_or_has_settled(self) -> None:
        by_itself = self.processes or self.waits or self.state is State.WAITING
        assert by_itself or self.state in SETTLED


TestLife = Life.TestCase
