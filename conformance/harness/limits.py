"""Words for rate limits: what a bucket allows, and calls of which some are let through."""

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .calls import Answer
from .judging import expect, inconclusive
from .remote import Settings

EXCEEDED = ("RESOURCE_EXHAUSTED", "rate limit exceeded")
"""Code and message of a call that is refused."""

NEVER = 0.01
"""Calls a second that stand for none: one in 100 s, longer than any test takes."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Calls that come back a second, and calls that may come at once."""

    rate: float
    burst: int

    @property
    def settings(self) -> dict[str, Any]:
        """As `services.NAME.rate_limit` has it for the service."""
        return {"rate": self.rate, "burst": self.burst}

    @property
    def fills_in(self) -> float:
        """Seconds in which an empty bucket is full again."""
        return self.burst / self.rate

    def allows(self, seconds: float) -> int:
        """Return how many calls may be let through in a stretch of time, rounded up."""
        return math.ceil(self.burst + self.rate * seconds)


def limited(service: Bucket, caller: Bucket | None = None) -> Settings:
    """Return the settings by which the identity service has limits, and each of its callers."""
    settings = service.settings
    if caller is not None:
        settings |= {f"caller_{name}": value for name, value in caller.settings.items()}
    return {"services": {"identity": {"rate_limit": settings}}}


@dataclass(frozen=True, slots=True)
class Try:
    """A call that may be refused: when it began, when it was over, and its answer."""

    begin: float
    end: float
    answer: Answer

    @property
    def refused(self) -> bool:
        """Whether it went over a limit."""
        return self.answer.code == EXCEEDED[0]

    @property
    def passed(self) -> bool:
        """Whether it was let through."""
        return self.answer.code == "OK"

    @property
    def told(self) -> tuple[str, str]:
        """Code and message."""
        return self.answer.code, self.answer.message


Call = Callable[[], Awaitable[Answer]]


async def tried(call: Call) -> Try:
    """Make a call, and note how long it took."""
    begin = time.monotonic()
    answer = await call()
    return Try(begin, time.monotonic(), answer)


async def at_once(call: Call, count: int) -> list[Try]:
    """Make so many calls at once."""
    return list(await asyncio.gather(*(tried(call) for _ in range(count))))


async def again_and_again(call: Call, seconds: float) -> list[Try]:
    """Make one call after the other for so long."""
    end = time.monotonic() + seconds
    tries = []
    while time.monotonic() < end:
        tries.append(await tried(call))
    return tries


def expect_within(tries: Iterable[Try], bucket: Bucket, *, what: str) -> None:
    """Make sure that in no stretch of time more calls were let through than a bucket allows.

    A stretch begins when its first call is sent and ends when its last answer is there, so that
    a call was let through within it however slow the host is.

    Raises:
        NonConformance: there is such a stretch, or a call failed for another reason.
        Inconclusive: there is none, but no call was refused either: they came too slowly.
    """
    tries = sorted(tries, key=lambda one: one.begin)
    failed = [one.told for one in tries if not (one.passed or one.refused)]
    expect(failed, equals=[], what=f"{what} that failed for another reason")
    passed = [one for one in tries if one.passed]
    most, allowed, seconds = max(_stretches(passed, bucket), key=lambda found: found[0] - found[1])
    expect(most, at_most=allowed, what=f"{what} that were let through within {seconds:.3f} s")
    if len(passed) == len(tries):
        inconclusive(f"no limit was reached: {len(tries)} {what} took {seconds:.3f} s")


def _stretches(passed: Sequence[Try], bucket: Bucket) -> Iterable[tuple[int, int, float]]:
    """Yield of each stretch: calls let through, calls allowed, seconds."""
    yield 0, 0, 0.0
    for first, begun in enumerate(passed):
        ends = itertools.accumulate((one.end for one in passed[first:]), max)
        for count, end in enumerate(ends, start=1):
            yield count, bucket.allows(end - begun.begin), end - begun.begin


def earned(tries: Sequence[Try], rate: float) -> float:
    """Return how many of these calls, made one after the other, a bucket lets through at least.

    It may have been empty at the first of them, and lack a little of one call at the last. Of
    the time between two calls no more counts than brings one call back: where the host takes
    longer, a bucket that is full meanwhile forgets the rest.
    """
    moments = [tries[0].end, *(one.begin for one in tries[1:])]
    steps = itertools.pairwise(moments)
    return sum(min((end - begin) * rate, 1.0) for begin, end in steps) - 1
