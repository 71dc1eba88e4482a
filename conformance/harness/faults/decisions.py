"""What each toxic does with what passes: decided here, done elsewhere (`stages`).

Each is asked once for every chunk, and once for the end, and returns steps with their times. None
looks at a clock, waits or does I/O. `reset_peer` is not among them: it acts before anything is
read (`directions`).
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from .attributes import Settings

MILLISECOND = 1e-3
MICROSECOND = 1e-6

SLICE = 0.1
"""Seconds of data in a slice of what exceeds that, of a limited bandwidth."""

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that came together."""

    data: bytes
    arrived: float
    """When the proxy read them, on the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Send:
    """Passes bytes on, not before a time."""

    chunk: Chunk
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class End:
    """Ends this direction, not before a time; nothing is passed on after it."""

    at: float = 0.0


Step = Send | End


class Decision:
    """What a toxic decides; by itself: to pass everything on.

    Args:
        attributes: of the toxic.
        chance: its own, so that it is the same in each run with the same seed.
        started: when it began, on the monotonic clock.
        passed: bytes that it had passed on before its attributes were changed.
    """

    ahead = 1
    """Chunks that may wait for it: with more of them what is late does not slow down the rest."""
    removal_ends = False
    """Whether a connection that had it ends when it is removed."""

    def __init__(
        self,
        attributes: Mapping[str, int],
        chance: random.Random,
        started: float = 0.0,
        passed: int = 0,
    ) -> None:
        """Begin."""
        self.attributes = attributes
        self.chance = chance
        self.passed = passed
        self.latest = started
        """When the latest chunk came, or when it began."""

    @property
    def expires(self) -> float:
        """When it ends the direction unless something comes before."""
        return FOREVER

    def take(self, chunk: Chunk, now: float) -> Iterator[Step]:
        """Yield what is done with a chunk that came."""
        del now
        yield Send(chunk)

    def end(self, now: float) -> Iterator[Step]:
        """Yield what is done at the end of what comes."""
        yield End(now)


class Latency(Decision):
    """Each chunk is passed on so long after it was read."""

    ahead = 1024

    def take(self, chunk: Chunk, now: float) -> Iterator[Step]:
        """Yield it for later."""
        del now
        jitter = self.attributes["jitter"]
        delay = self.attributes["latency"] + (self.chance.uniform(-jitter, jitter) if jitter else 0)
        yield Send(chunk, chunk.arrived + delay * MILLISECOND)


class Bandwidth(Decision):
    """At most so many KB (of 1000 bytes) pass a second; 0 holds all of it back."""

    _free = 0.0
    """When the line has passed on what came before."""

    def take(self, chunk: Chunk, now: float) -> Iterator[Step]:
        """Yield it as fast as the rate allows, in slices where that takes long."""
        rate = self.attributes["rate"] * 1000
        if not rate:
            yield Send(chunk, FOREVER)
            return
        begin, size = max(self._free, now), max(1, int(rate * SLICE))
        self._free = begin + len(chunk.data) / rate
        for start in range(0, len(chunk.data), size):
            piece = replace(chunk, data=chunk.data[start : start + size])
            yield Send(piece, begin + (start + len(piece.data)) / rate)


class SlowClose(Decision):
    """The end comes later."""

    def end(self, now: float) -> Iterator[Step]:
        """Yield it for later."""
        yield End(now + self.attributes["delay"] * MILLISECOND)


class Timeout(Decision):
    """All that comes vanishes, and after a time without anything the direction ends; 0: never."""

    removal_ends = True

    @property
    def expires(self) -> float:
        """When nothing has come for so long."""
        timeout = self.attributes["timeout"]
        return self.latest + timeout * MILLISECOND if timeout else FOREVER

    def take(self, chunk: Chunk, now: float) -> Iterator[Step]:
        """Yield nothing."""
        del chunk, now
        yield from ()


class Slicer(Decision):
    """Chunks are cut into pieces of about a size, with a pause after each but the last."""

    def take(self, chunk: Chunk, now: float) -> Iterator[Step]:
        """Yield the pieces."""
        pause = self.attributes["delay"] * MICROSECOND
        for number, (start, end) in enumerate(self._pieces(len(chunk.data))):
            yield Send(replace(chunk, data=chunk.data[start:end]), now + number * pause)

    def _pieces(self, size: int) -> Iterator[tuple[int, int]]:
        """Cut in about two, again and again; without recursion, which sizes may make deep."""
        average, variation = self.attributes["average_size"], self.attributes["size_variation"]
        waiting = [(0, size)]
        while waiting:
            start, end = waiting.pop()
            if end - start <= max(average + variation, 1):
                yield start, end
                continue
            middle = start + (end - start) // 2
            if variation:
                middle += self.chance.randrange(2 * variation) - variation
            middle = min(max(middle, start + 1), end - 1)
            waiting += [(middle, end), (start, middle)]


class LimitData(Decision):
    """So many bytes pass, and the direction ends with the last of them."""

    def take(self, chunk: Chunk, now: float) -> Iterator[Step]:
        """Yield what still passes."""
        left = max(self.attributes["bytes"] - self.passed, 0)
        data = chunk.data[:left]
        self.passed += len(data)
        if data:
            yield Send(replace(chunk, data=data))
        if len(data) == left:
            yield End(now)


class Corrupt(Decision):
    """One bit of each run of bytes is flipped, once the first bytes have passed."""

    def take(self, chunk: Chunk, now: float) -> Iterator[Step]:
        """Yield it with bits flipped."""
        del now
        data, every = bytearray(chunk.data), self.attributes["every"]
        for index in range(len(data)):
            place = self.passed + index - self.attributes["after"]
            if place < 0:
                continue
            if place % every == 0 or self._victim < 0:
                self._victim = place - place % every + self.chance.randrange(every)
                self._bit = 1 << self.chance.randrange(8)
            if place == self._victim:
                data[index] ^= self._bit
        self.passed += len(data)
        yield Send(replace(chunk, data=bytes(data)))

    _victim = -1
    _bit = 0


DECISIONS: Mapping[str, type[Decision]] = {
    "noop": Decision,
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "slicer": Slicer,
    "limit_data": LimitData,
    "corrupt": Corrupt,
}
"""By type of toxic; `reset_peer` is none of them."""


def decision(
    settings: Settings, chance: random.Random, now: float, before: Decision | None = None
) -> Decision:
    """Return what a toxic decides on a connection from now on.

    Args:
        settings: its own.
        chance: of this toxic on this connection.
        now: on the monotonic clock.
        before: what it decided until its attributes were changed: bytes that have passed count on.
    """
    kind = DECISIONS[settings.type]
    return kind(settings.attributes, chance, now, before.passed if before else 0)
