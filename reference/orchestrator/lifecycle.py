"""The life of a service as one table: (state, event) to (effect, next state)."""

from enum import StrEnum, auto


class State(StrEnum):
    """Where a service is in its life; as `ServiceState` of the schema."""

    WAITING = auto()
    STARTING = auto()
    RUNNING = auto()
    UNHEALTHY = auto()
    BACKING_OFF = auto()
    STOPPING = auto()
    STOPPED = auto()
    FAILED = auto()


class Event(StrEnum):
    """What can happen to a service."""

    DEPENDENCIES_RUN = auto()
    """All services that it depends on are RUNNING."""
    SERVES = auto()
    """Its process says SERVING, for the first time."""
    FAILS = auto()
    """As many checks failed in a row as make it unhealthy; while it starts: its time is over."""
    ENDED = auto()
    """Its process is gone, or could not be started."""
    ENDED_FOR_GOOD = auto()
    """The same, and it is not started again: it never was SERVING when its time was over (ORC-13),
    or there were as many restarts in a row as there may be (ORC-6)."""
    DELAY_OVER = auto()
    """It may be started again."""
    STOP = auto()
    """Somebody wants it to stop."""
    START = auto()
    """Somebody wants it to start."""


class Effect(StrEnum):
    """What a transition does besides."""

    NOTHING = auto()
    SPAWN = auto()
    """Start a process."""
    KILL = auto()
    """End the process, and its group, because it does not do what it should."""
    TERMINATE = auto()
    """Ask the process to end, and see to it that it does."""
    BACK_OFF = auto()
    """Let DELAY_OVER come after a while."""
    GIVE_UP = auto()
    """Say why there will be no other process."""


_S, _V, _E = State, Event, Effect

_PAIRS: dict[tuple[State, Event], tuple[Effect, State]] = {
    (_S.WAITING, _V.DEPENDENCIES_RUN): (_E.SPAWN, _S.STARTING),
    (_S.WAITING, _V.STOP): (_E.NOTHING, _S.STOPPED),
    (_S.STARTING, _V.SERVES): (_E.NOTHING, _S.RUNNING),
    (_S.STARTING, _V.FAILS): (_E.KILL, _S.UNHEALTHY),
    (_S.STARTING, _V.ENDED): (_E.BACK_OFF, _S.BACKING_OFF),
    (_S.STARTING, _V.ENDED_FOR_GOOD): (_E.GIVE_UP, _S.FAILED),
    (_S.STARTING, _V.STOP): (_E.TERMINATE, _S.STOPPING),
    (_S.RUNNING, _V.FAILS): (_E.KILL, _S.UNHEALTHY),
    (_S.RUNNING, _V.ENDED): (_E.BACK_OFF, _S.BACKING_OFF),
    (_S.RUNNING, _V.ENDED_FOR_GOOD): (_E.GIVE_UP, _S.FAILED),
    (_S.RUNNING, _V.STOP): (_E.TERMINATE, _S.STOPPING),
    (_S.UNHEALTHY, _V.ENDED): (_E.BACK_OFF, _S.BACKING_OFF),
    (_S.UNHEALTHY, _V.ENDED_FOR_GOOD): (_E.GIVE_UP, _S.FAILED),
    (_S.UNHEALTHY, _V.STOP): (_E.NOTHING, _S.STOPPING),
    (_S.BACKING_OFF, _V.DELAY_OVER): (_E.SPAWN, _S.STARTING),
    (_S.BACKING_OFF, _V.START): (_E.SPAWN, _S.STARTING),
    (_S.BACKING_OFF, _V.STOP): (_E.NOTHING, _S.STOPPED),
    (_S.STOPPING, _V.ENDED): (_E.NOTHING, _S.STOPPED),
    (_S.STOPPING, _V.ENDED_FOR_GOOD): (_E.NOTHING, _S.STOPPED),
    (_S.STOPPED, _V.START): (_E.NOTHING, _S.WAITING),
    (_S.FAILED, _V.START): (_E.NOTHING, _S.WAITING),
    (_S.FAILED, _V.STOP): (_E.NOTHING, _S.STOPPED),
}

TRANSITIONS: dict[tuple[State, Event], tuple[Effect, State]] = {
    (state, event): _PAIRS.get((state, event), (Effect.NOTHING, state))
    for state in State
    for event in Event
}
"""Over every pair: what is not in the list above changes nothing."""

SETTLED = (State.RUNNING, State.FAILED, State.STOPPED)
"""States in which a service stays by itself. In the latter two it has no process."""
