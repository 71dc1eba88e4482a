"""Arms measured side by side, so that what disturbs one disturbs all of them."""

import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .series import Series, Spread

BLOCK = 5
"""Calls of one arm in a row, of which the first is not counted: it pays for the change. With
longer blocks an arm against itself varies by 5 % instead of 1 %; one by one hides overhead."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One arm, over several repetitions."""

    micros: Spread
    """Of one call: the spread of the repetitions' medians."""
    ratio: Spread
    """To the first arm, repetition by repetition."""
    tail: Spread
    """The same of the 99th percentiles."""


def measure(
    arms: Mapping[str, Callable[[], object]], *, repetitions: int, blocks: int
) -> dict[str, Measured]:
    """Measure what one call of each arm takes, several times over.

    Args:
        arms: by name, as of `interleave`; the others are compared with the first one.
        repetitions: each is one median an arm.
        blocks: of each arm in a repetition.
    """
    rounds = [interleave(arms, blocks=blocks) for _ in range(repetitions)]
    base = next(iter(arms))
    return {
        name: Measured(
            Spread.of([one[name].median * 1e6 for one in rounds]),
            Spread.of([one[name].median / one[base].median for one in rounds]),
            Spread.of([one[name].tail / one[base].tail for one in rounds]),
        )
        for name in arms
    }


def interleave(
    arms: Mapping[str, Callable[[], object]], *, blocks: int, block: int = BLOCK
) -> dict[str, Series]:
    """Measure calls of each arm in turn.

    Args:
        arms: by name. What a call returns is called itself, if it can be, once the clock has
            stopped: to take back what was done, say.
        blocks: of each arm; each round of them is in another order.
        block: calls in a row; the first is not counted, unless there is but one.
    """
    books = {name: _Book() for name in arms}
    for name in _order(list(arms), blocks):
        with_cpu = time.process_time()
        books[name].add(_block(arms[name], block), time.process_time() - with_cpu)
    return {name: book.series() for name, book in books.items()}


async def interleave_async(
    arms: Mapping[str, Callable[[], Awaitable[object]]], *, blocks: int, block: int = 1
) -> dict[str, Series]:
    """Measure like `interleave` what is awaited: bursts of many calls at once, say."""
    books = {name: _Book() for name in arms}
    for name in _order(list(arms), blocks):
        with_cpu = time.process_time()
        times = []
        for _ in range(block):
            started = time.perf_counter()
            undo = await arms[name]()
            times.append(time.perf_counter() - started)
            if callable(undo):
                await undo()
        books[name].add(times, time.process_time() - with_cpu)
    return {name: book.series() for name, book in books.items()}


@dataclass(slots=True)
class _Book:
    """What is noted of one arm."""

    blocks: list[tuple[float, ...]] = field(default_factory=list)
    calls: int = 0
    cpu: float = 0.0

    def add(self, times: Sequence[float], cpu: float) -> None:
        self.blocks.append(tuple(times[1:] or times))
        self.calls += len(times)
        self.cpu += cpu

    def series(self) -> Series:
        return Series(tuple(self.blocks), self.cpu / self.calls)


def _order(names: Sequence[str], blocks: int) -> Iterator[str]:
    """Yield every name so many times: in rounds of all, each in another order.

    None comes twice in a row: the second block would find everything warm, and an arm that stands
    at an end would be 2 % faster than itself.
    """
    chance = random.Random(blocks)  # noqa: S311 - no secret
    last = ""
    for _ in range(blocks):
        names = chance.sample(names, len(names))
        while len(names) > 1 and names[0] == last:
            names = chance.sample(names, len(names))
        yield from names
        last = names[-1]


def _block(call: Callable[[], object], calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        undo = call()
        times.append(time.perf_counter() - started)
        if callable(undo):
            undo()
    return times
