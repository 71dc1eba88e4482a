"""Sequences of steps on the suite's loop, and the shortest that fails."""

import asyncio
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from conformance.harness.judging import Inconclusive, NonConformance
from conformance.harness.sequences import STEPS, Sequences


class Walk:
    """What is walked on: it breaks as it is told to."""

    def __init__(
        self, breaks_at: int = 0, *, once: bool = False, for_good: bool = False, error: Any = None
    ) -> None:
        self.breaks_at = breaks_at
        self.once = once
        self.error = error
        self.for_good = for_good
        self.broken = False
        self.loops: set[Any] = set()
        self.sequences: list[list[int]] = []

    async def begin(self) -> None:
        if self.broken:
            raise NonConformance(what="the pond", expected="frozen", observed="open")
        self.sequences.append([])

    async def step(self, number: int) -> None:
        self.loops.add(asyncio.get_running_loop())
        self.sequences[-1].append(number)
        if self.breaks_at and number >= self.breaks_at:
            self.broken = self.for_good
            if self.once:
                self.breaks_at = 0
            raise self.error or NonConformance(what="the ice", expected="firm", observed="broken")


class Machine(RuleBasedStateMachine):
    def __init__(self, walk: Walk, sequences: Sequences) -> None:
        super().__init__()
        self._walk, self._sequences = walk, sequences

    @initialize()
    def begin(self) -> None:
        self._sequences.begin(self._walk.begin)

    @rule(number=st.integers(0, 100))
    def step(self, number: int) -> None:
        self._sequences.step(f"step {number}", partial(self._walk.step, number))


async def _walked(walk: Walk, seed: int = 5, count: int = 20) -> Sequences:
    sequences = Sequences(asyncio.get_running_loop(), seed)
    await sequences.run(lambda: Machine(walk, sequences), count)
    return sequences


async def test_steps_run_on_the_loop_of_the_suite() -> None:
    walk = Walk()

    sequences = await _walked(walk)

    assert walk.loops == {asyncio.get_running_loop()}
    assert sequences.count == len(walk.sequences)
    assert walk.sequences[0] == [0] * STEPS
    assert len([one for one in walk.sequences if one]) >= 20
    assert all(len(one) <= STEPS for one in walk.sequences)


async def test_a_seed_stands_for_the_same_sequences() -> None:
    walks = [Walk(), Walk(), Walk()]
    for walk, seed in zip(walks, (5, 5, 6), strict=True):
        await _walked(walk, seed)

    assert walks[0].sequences == walks[1].sequences != walks[2].sequences


async def test_the_shortest_sequence_that_fails_is_told_with_its_seed() -> None:
    with pytest.raises(NonConformance) as caught:
        await _walked(Walk(breaks_at=40))

    assert caught.value.observed == "broken\nafter\n1. step 40\n(seed 5)"


async def test_what_fails_once_is_told_all_the_same() -> None:
    with pytest.raises(NonConformance, match=r"broken\nafter\n(.*\n)*\d\. step \d+\n\(seed 5\)"):
        await _walked(Walk(breaks_at=40, once=True))


async def test_what_broke_for_good_is_told_with_what_broke_it() -> None:
    with pytest.raises(NonConformance, match=r"the ice: .*\n(.*\n)*\d\. step \d+\n"):
        await _walked(Walk(breaks_at=40, for_good=True))


async def test_what_is_no_failure_ends_the_search() -> None:
    walk = Walk(breaks_at=40, error=Inconclusive("the host stalled"))

    with pytest.raises(Inconclusive, match="the host stalled"):
        await _walked(walk)

    assert [number >= 40 for one in walk.sequences for number in one].count(True) == 1
