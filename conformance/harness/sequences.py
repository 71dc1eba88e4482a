"""Sequences drawn by chance, on one node: a state machine of hypothesis beside the suite's loop.

Hypothesis is synchronous, and the suite's clients, watches and bounds live on one event loop. So
the machine runs in a thread of its own and hands each of its steps to that loop, waiting for it:
the loop goes on, and with it the ticker that tells whether the host stalls. A loop of the thread's
own would need clients and watchdogs of its own, and would know nothing of the host.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from typing import Any

import hypothesis
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from .judging import NonConformance, attach, did

SEQUENCES = 3
"""Sequences, unless the run says otherwise: a second or two each."""

STEPS = 3
"""Steps of a sequence at most; the first one is the simplest of so many. Each blow takes half a
second."""

SMALLER = 15.0
"""Seconds for which a shorter sequence that fails too is looked for."""

STEP = 120.0
"""Seconds for one step: longer than all the bounds in it."""


class Sequences:
    """Runs sequences of steps, and keeps the shortest one that failed.

    Args:
        loop: on which the steps run.
        seed: of all that is drawn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seed: int) -> None:
        """Nothing ran yet."""
        self._loop = loop
        self._seed = seed
        self._steps: list[str] = []
        self._failed: tuple[list[str], NonConformance] | None = None
        self._since = 0.0
        self._broken: BaseException | None = None
        self.count = 0
        """Sequences that were begun."""

    def __repr__(self) -> str:
        """Show what ran."""
        return f"Sequences({self.count}, seed={self._seed}, failed={self._failed is not None})"

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done: what fails was told, or the suite is broken."""
        late = self._failed is not None and time.monotonic() > self._since + SMALLER
        return late or self._broken is not None

    def begin(self, work: Callable[[], Awaitable[object]]) -> None:
        """Begin another sequence.

        Raises:
            NonConformance: it cannot be begun. Where one has failed already, it has broken for
                good what is needed, and no shorter one can be looked for: then nothing is raised.
        """
        self.count += 1
        self._steps = []
        known = self._failed
        try:
            self.step("", work)
        except NonConformance:
            if known is None:
                raise
            self._failed, self._since = known, -SMALLER

    def step(self, told: str, work: Callable[[], Awaitable[object]]) -> None:
        """Take a step of the sequence, on the loop, and wait for it.

        Raises:
            NonConformance: it failed.
        """
        if self.over:
            return
        if told:
            self._steps.append(told)
            did(told)
        try:
            asyncio.run_coroutine_threadsafe(_run(work), self._loop).result(STEP)
        except NonConformance as problem:
            self._note(problem)
            raise
        except (Exception, CancelledError) as error:  # noqa: BLE001 - raised by `judge`
            self._broken = error

    async def run(self, machine: Callable[[], RuleBasedStateMachine], count: int) -> None:
        """Run so many sequences.

        Raises:
            NonConformance: one failed; says which, the shortest that was found.
            Exception: a step broke.
        """
        settings = hypothesis.settings(
            # Besides these there is an empty one, and beginning is a step too.
            max_examples=count + 1,
            stateful_step_count=STEPS + 1,
            deadline=None,
            database=None,
            print_blob=False,
            report_multiple_bugs=False,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        seeded: Any = hypothesis.seed(self._seed)(machine)
        try:
            await asyncio.to_thread(run_state_machine_as_test, seeded, settings=settings)
        except NonConformance:
            pass
        except hypothesis.errors.Flaky:
            # What fails by chance need not fail again: that it did once is enough.
            if self._failed is None:
                raise
        finally:
            self._broken = self._broken or asyncio.CancelledError()
        self.judge()

    def judge(self) -> None:
        """Tell of the shortest sequence that failed, if one did."""
        if self._failed is not None:
            steps, problem = self._failed
            sequence = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
            attach("sequence.txt", f"seed {self._seed}\n{sequence}\n")
            raise NonConformance(
                what=problem.what,
                expected=problem.expected,
                observed=f"{problem.observed}\nafter\n{sequence}\n(seed {self._seed})",
            ) from problem
        if self._broken is not None and not isinstance(self._broken, asyncio.CancelledError):
            raise self._broken

    def _note(self, problem: NonConformance) -> None:
        if self._failed is None:
            self._since = time.monotonic()
        if self._failed is None or len(self._steps) <= len(self._failed[0]):
            self._failed = list(self._steps), problem


async def _run(work: Callable[[], Awaitable[object]]) -> Any:
    return await work()
