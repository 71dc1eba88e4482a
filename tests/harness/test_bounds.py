"""The ticker that watches the host, and waits that end in vain."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from conformance.harness import bounds
from conformance.harness.bounds import STALL, HostJitter, until
from conformance.harness.judging import Inconclusive, NonConformance
from conformance.harness.starvation import STARVATION


@pytest.fixture
async def jitter(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HostJitter]:
    """Watch the host as a session does, in place of the session's own."""
    watched = HostJitter()
    monkeypatch.setattr(bounds, "JITTER", watched)
    task = asyncio.create_task(watched.watch())
    await until(lambda: len(watched._ticks) >= 2, bound=1.0, what="two ticks")
    yield watched
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> HostJitter:
    """Stand in for a host that stalls only when a test says so."""
    made_up = HostJitter()
    monkeypatch.setattr(bounds, "JITTER", made_up)
    return made_up


def block(seconds: float) -> None:
    """Stall, as a host does that gives its time to others."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def test_a_stall_is_seen_at_once_and_later(jitter: HostJitter) -> None:
    before = time.monotonic()
    block(0.1)
    after = time.monotonic()

    # The ticker had no chance to wake yet.
    assert 0.09 <= jitter.worst(before) <= time.monotonic() - before
    assert 0.02 <= jitter.worst(before, before + 0.03) <= 0.03 + 1e-9
    seen = len(jitter._ticks)
    await until(lambda: len(jitter._ticks) > seen, bound=1.0, what="a tick")
    assert 0.09 <= jitter.worst(before, after) <= after - before + 1e-9
    assert jitter.worst(0.0, before - 1.0) == 0.0


async def test_only_the_part_within_the_window_counts() -> None:
    jitter = HostJitter()
    jitter._ticks.extend([(10.0, 10.001), (11.0, 11.2), (12.0, 12.05)])
    assert jitter.worst(9.0, 13.0) == pytest.approx(0.2)
    assert jitter.worst(11.1, 13.0) == pytest.approx(0.1)
    assert jitter.worst(9.0, 11.05) == pytest.approx(0.05)
    assert jitter.worst(11.5, 11.9) == 0.0
    assert jitter.worst(11.5) == pytest.approx(0.05)


async def test_what_is_remembered_is_bounded() -> None:
    jitter = HostJitter()
    jitter._ticks.extend((float(second), second + 0.5) for second in range(30_000))
    assert len(jitter._ticks) == 24_000
    assert jitter.worst(0.0, 6000.0) == 0.0


async def test_who_is_not_watched_never_stalled() -> None:
    jitter = HostJitter()
    before = time.monotonic()
    block(0.06)
    assert jitter.worst(before) == 0.0


@pytest.mark.usefixtures("unwatched")
async def test_what_holds_comes_back() -> None:
    answers = iter([0, "", "found"])

    async def fact() -> object:
        return next(answers)

    assert await until(fact, bound=1.0, what="it") == "found"


@pytest.mark.usefixtures("unwatched")
async def test_a_bound_that_passes_is_a_failure() -> None:
    before = time.monotonic()
    with pytest.raises(NonConformance) as error:
        await until(lambda: False, bound=0.03, what="it", seen=lambda: ["this"])
    assert time.monotonic() - before >= 0.03
    assert str(error.value) == "it: expected within 0.03 s, observed not within 0.03 s: ['this']"


@pytest.mark.usefixtures("jitter")
async def test_a_bound_that_passes_in_a_stall_says_nothing() -> None:
    with pytest.raises(Inconclusive, match=r"it: not within 0.03 s, but the host stalled for 0\."):
        await until(lambda: block(STALL + 0.03), bound=0.03, what="it")


async def test_a_bound_goes_on_by_as_long_as_the_host_stalled(unwatched: HostJitter) -> None:
    before = time.monotonic()
    unwatched._ticks.append((before, before + 0.2))

    with pytest.raises(NonConformance):
        await until(lambda: False, bound=0.1, what="it")

    assert time.monotonic() - before >= 0.25


@pytest.mark.usefixtures("unwatched")
async def test_a_bound_goes_on_by_as_long_as_the_implementation_waited_for_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(STARVATION, "seconds", lambda: 0.2)
    before = time.monotonic()

    with pytest.raises(NonConformance):
        await until(lambda: False, bound=0.5, what="it")
    assert time.monotonic() - before >= 0.7

    before = time.monotonic()
    assert await until(lambda: time.monotonic() - before > 0.6, bound=0.5, what="it")


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize(("part", "verdict"), [(0.4, NonConformance), (0.6, Inconclusive)])
async def test_waiting_for_a_cpu_excuses_from_half_of_the_bound_on(
    monkeypatch: pytest.MonkeyPatch, part: float, verdict: type[Exception]
) -> None:
    monkeypatch.setattr(STARVATION, "seconds", lambda: 0.2 * part)

    with pytest.raises(verdict, match="it: "):
        await until(lambda: False, bound=0.2, what="it")


def test_only_stalls_are_lost_time(unwatched: HostJitter) -> None:
    unwatched._ticks += [(10.0, 10.02), (11.0, 11.2), (12.0, 12.1)]

    assert unwatched.lost(9.0) == pytest.approx(0.3)
    assert unwatched.lost(11.1) == pytest.approx(0.2)


@pytest.mark.usefixtures("jitter")
async def test_a_fact_that_holds_after_a_stall_holds() -> None:
    def fact() -> bool:
        block(0.08)
        return True

    assert await until(fact, bound=0.01, what="it")
