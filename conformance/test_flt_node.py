"""Chapter 26: services that are killed and stopped, over and over (FLT-7)."""

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from .harness.acknowledged import KINDS
from .harness.chaos import HANG, KILL, NAMES, NOTHING, RESTART, Blow, Chaos
from .harness.judge import SEED
from .harness.judging import did, expect
from .harness.nodes import Node
from .harness.sequences import Sequences

# The simplest of each comes first: hypothesis begins with it. It is all services, stopped for a
# moment, and killed right after each has acknowledged a write.
VICTIMS = st.sampled_from([NAMES, *((name,) for name in NAMES), *((name,) for name in NAMES)])

BLOWS = st.builds(
    Blow,
    victims=VICTIMS,
    how=st.sampled_from([KILL, KILL, HANG, RESTART, NOTHING]),
    after=st.integers(1, 4),
    paused=st.sampled_from([0.1, 0.0, 0.02]),
    healed=st.sampled_from([True, True, False]),
)

CALLS = st.lists(
    st.tuples(st.sampled_from(["write", "read"]), st.sampled_from(KINDS), st.integers(0, 1000)),
    min_size=1,
    max_size=8,
)


class Machine(RuleBasedStateMachine):
    """A node to which anything may happen."""

    def __init__(self, chaos: Chaos, sequences: Sequences) -> None:
        """Begin a sequence."""
        super().__init__()
        self._chaos = chaos
        self._sequences = sequences

    @initialize()
    def begin(self) -> None:
        """Begin with a node that is well, and a history of its own."""
        self._sequences.begin(self._chaos.turn)

    @rule(blow=BLOWS)
    def strike(self, blow: Blow) -> None:
        """Let a blow fall while the node is written to."""
        self._sequences.step(str(blow), partial(self._chaos.strike, blow))

    @rule(calls=CALLS)
    def use(self, calls: list[tuple[str, str, int]]) -> None:
        """Write and read, one after the other."""

        async def work() -> None:
            for what, kind, number in calls:
                if what == "write":
                    await self._chaos.writer.write(kind, "one")
                else:
                    await self._chaos.writer.read(kind, number)

        told = ", ".join(f"{what} {kind}" for what, kind, _ in calls)
        self._sequences.step(told, work)

    def teardown(self) -> None:
        """End with a node that is well again, and nothing lost."""
        self._sequences.step("", self._chaos.settle)


@pytest.fixture
async def chaos(node: Node, chance: random.Random) -> AsyncIterator[Chaos]:
    """A whole node that is written to."""
    chaos = Chaos(node, chance.getrandbits(32))
    await chaos.begin()
    yield chaos
    for service in chaos.writer.services.values():
        await service.hang_up()


async def test_flt_7_the_node_heals_and_keeps_its_word(
    chaos: Chaos, pytestconfig: pytest.Config
) -> None:
    """FLT-7: Killed, stopped and restarted at random, the node heals and loses nothing."""
    await chaos.turn()
    await chaos.settle()
    sequences = Sequences(asyncio.get_running_loop(), pytestconfig.stash[SEED])

    def machine() -> Any:
        return Machine(chaos, sequences)

    await sequences.run(machine, pytestconfig.getoption("sequences"))
    await chaos.verify()

    indefinite = sum(len(one.indefinite[kind]) for one in chaos.histories for kind in KINDS)
    did(f"{sequences}: {chaos}; {indefinite} writes of which nobody knows")
    expect(sum(chaos.blows.values()), at_least=1, what="faults that were injected")
