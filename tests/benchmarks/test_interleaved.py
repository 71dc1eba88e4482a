"""Blocks of calls, by a clock that only the calls advance."""

import itertools
from collections.abc import Awaitable, Callable

import pytest

from benchmarks import interleaved
from benchmarks.interleaved import interleave, interleave_async

UNDO = 100.0
"""Seconds that it takes to undo a call."""


class Clock:
    """Both clocks of the module."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    process_time = perf_counter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(interleaved, "time", clock)
    return clock


@pytest.fixture
def called() -> list[str]:
    """Arms in the order of their calls."""
    return []


@pytest.fixture
def arm(clock: Clock, called: list[str]) -> Callable[[str], Callable[[], None]]:
    """Make an arm whose every call takes a second longer than the one before."""

    def made(name: str) -> Callable[[], None]:
        seconds = itertools.count(1)

        def call() -> None:
            called.append(name)
            clock.now += next(seconds)

        return call

    return made


Arm = Callable[[str], Callable[[], None]]


def test_blocks_take_turns_in_any_order_and_never_follow_their_like(
    arm: Arm, called: list[str]
) -> None:
    interleave({name: arm(name) for name in "abc"}, blocks=40, block=2)

    blocks = [called[index] for index in range(0, len(called), 2)]
    rounds = ["".join(blocks[index : index + 3]) for index in range(0, len(blocks), 3)]
    assert called[0::2] == called[1::2]
    assert set(rounds) == {"".join(order) for order in itertools.permutations("abc")}
    assert all(one != other for one, other in itertools.pairwise(blocks))


def test_the_first_call_of_a_block_is_not_counted(arm: Arm) -> None:
    found = interleave({"a": arm("a"), "b": arm("b")}, blocks=2, block=3)

    assert found["a"].blocks == found["b"].blocks == ((2.0, 3.0), (5.0, 6.0))


def test_a_call_by_itself_is_a_block_and_counts(arm: Arm) -> None:
    found = interleave({"a": arm("a")}, blocks=3, block=1)

    assert found["a"].blocks == ((1.0,), (2.0,), (3.0,))


def test_the_processor_is_busy_with_every_call(arm: Arm) -> None:
    found = interleave({"a": arm("a")}, blocks=2, block=3)

    assert found["a"].cpu == (1 + 2 + 3 + 4 + 5 + 6) / 6


def test_a_call_is_undone_outside_of_the_clock(clock: Clock) -> None:
    undone = []

    def undo() -> None:
        undone.append(clock.now)
        clock.now += UNDO

    def call() -> object:
        clock.now += 1
        return undo

    found = interleave({"a": call}, blocks=2, block=3)

    assert found["a"].blocks == ((1.0, 1.0), (1.0, 1.0))
    assert len(undone) == 6


async def test_what_is_awaited_is_measured_likewise(clock: Clock) -> None:
    called: list[str] = []

    def arm(name: str) -> Callable[[], Awaitable[object]]:
        async def undo() -> None:
            clock.now += UNDO

        async def call() -> object:
            called.append(name)
            clock.now += len(called)
            return undo

        return call

    found = await interleave_async({"a": arm("a"), "b": arm("b")}, blocks=2, block=2)

    assert "".join(called) == "aabbaabb"
    assert found["a"].blocks == ((2.0,), (6.0,))
    assert found["b"].blocks == ((4.0,), (8.0,))
