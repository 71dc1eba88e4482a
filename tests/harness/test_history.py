"""Checks of time, held against made-up arrivals and a made-up host."""

from collections.abc import Sequence

import pytest

from conformance.harness import history
from conformance.harness.arrivals import Arrival, Connection
from conformance.harness.bounds import STALL, HostJitter
from conformance.harness.history import (
    LATE,
    ROUNDING,
    expect_delays,
    expect_elapsed,
    expect_host,
)
from conformance.harness.judging import Inconclusive, NonConformance
from conformance.harness.starvation import STARVATION

HOST = 0.01
"""Seconds of jitter that the made-up host has."""

BEGIN = 1000.0


@pytest.fixture
def jitter(monkeypatch: pytest.MonkeyPatch) -> HostJitter:
    """Stand in for the host's jitter; `stall` makes it stall."""
    made_up = HostJitter()
    made_up.seconds = HOST
    monkeypatch.setattr(history, "JITTER", made_up)
    return made_up


def stall(jitter: HostJitter, since: float, until: float) -> None:
    """Let the host have been late from one moment to another."""
    jitter._ticks.append((since, until))


def calls(*delays: float) -> list[Arrival]:
    """Make calls that were each answered after 1 s, with delays between."""
    connection = Connection(number=1, opened=BEGIN)
    made, moment = [], BEGIN
    for delay in (0.0, *delays):
        moment += delay
        made.append(Arrival("/p.S/Unary", connection, moment, headers=()))
        moment = made[-1].answered = moment + 1.0
    made[-1].answered = None
    return made


@pytest.mark.parametrize(
    "delays",
    [
        (0.1, 0.2, 0.3),
        (0.1 - ROUNDING / 2, 0.2, 0.3),
        (0.1 + LATE + HOST - 1e-6, 0.2, 0.3),
    ],
)
@pytest.mark.usefixtures("jitter")
def test_delays_within_their_bounds_are_right(delays: Sequence[float]) -> None:
    expect_delays(calls(*delays), [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("delays", "told"),
    [
        ((0.098, 0.2), "[98, 200] ms"),
        ((0.1, 0.1), "[100, 100] ms"),
        ((0.1 + LATE + HOST + 0.001, 0.2), "[161, 200] ms"),
        ((0.1,), "[100] ms"),
        ((0.1, 0.2, 0.4), "[100, 200, 400] ms"),
        ((), "[] ms"),
        ((-0.5, 0.2), "[-500, 200] ms"),
    ],
)
@pytest.mark.usefixtures("jitter")
def test_other_delays_are_told(delays: Sequence[float], told: str) -> None:
    with pytest.raises(NonConformance) as error:
        expect_delays(calls(*delays), [0.1, 0.2])
    assert error.value.what == "delays between attempts"
    assert error.value.expected == (
        "[100, 200] ms (+ at most 60 ms, of which 10 ms are this host's)"
    )
    assert error.value.observed == told


@pytest.mark.usefixtures("jitter")
def test_delays_may_be_shorter_by_their_own_jitter() -> None:
    expect_delays(calls(0.05, 0.2), [0.1, 0.2], jitter=0.5)
    with pytest.raises(NonConformance, match="each at most 50% shorter"):
        expect_delays(calls(0.048, 0.2), [0.1, 0.2], jitter=0.5)


def test_what_is_late_in_a_stall_says_nothing(jitter: HostJitter) -> None:
    late = calls(0.1, 0.5)
    begin, end = late[1].answered or 0.0, late[2].time

    with pytest.raises(NonConformance):
        expect_delays(late, [0.1, 0.2])
    stall(jitter, begin - 1.0, begin + STALL - 0.001)
    with pytest.raises(NonConformance):
        expect_delays(late, [0.1, 0.2])
    stall(jitter, begin + 0.1, end + 1.0)
    with pytest.raises(Inconclusive, match="the host stalled for 400 ms meanwhile"):
        expect_delays(late, [0.1, 0.2])


def test_a_stall_excuses_no_other_delay_and_nothing_early(jitter: HostJitter) -> None:
    both_late, early = calls(0.5, 0.5), calls(0.05, 0.5)
    for made in (both_late, early):
        stall(jitter, made[1].answered or 0.0, made[2].time)
        with pytest.raises(NonConformance):
            expect_delays(made, [0.1, 0.2])


def test_without_an_answer_there_is_no_delay() -> None:
    made = calls(0.1, 0.2)
    made[0].answered = None
    with pytest.raises(ValueError, match="a delay begins with an answer"):
        expect_delays(made, [0.1, 0.2])


@pytest.mark.usefixtures("jitter")
def test_what_elapsed_is_held_to_both_bounds() -> None:
    expect_elapsed(0.3, since=BEGIN, at_least=0.3, at_most=0.3)
    expect_elapsed(0.3 + LATE + HOST - 1e-6, since=BEGIN, at_most=0.3)
    with pytest.raises(NonConformance) as error:
        expect_elapsed(0.298, since=BEGIN, at_least=0.3, at_most=0.4, what="the call")
    assert str(error.value) == (
        "the call: expected at least 300 ms and at most 400 ms"
        " (+ 60 ms, of which 10 ms are this host's), observed 298 ms"
    )
    with pytest.raises(NonConformance, match="observed 361 ms"):
        expect_elapsed(0.361, since=BEGIN, at_most=0.3)


def test_what_took_too_long_in_a_stall_says_nothing(jitter: HostJitter) -> None:
    stall(jitter, BEGIN + 0.4, BEGIN + 0.5)
    with pytest.raises(NonConformance):
        expect_elapsed(0.4, since=BEGIN, at_most=0.3)
    with pytest.raises(Inconclusive, match="stalled for 100 ms"):
        expect_elapsed(0.5, since=BEGIN, at_most=0.3)
    with pytest.raises(NonConformance):
        expect_elapsed(0.2, since=BEGIN + 0.4, at_least=0.3)


def lacking(*, holds: bool = False, spare: float = 0.2) -> None:
    """Judge two attempts that are not there, or are."""
    expect_host(holds=holds, since=BEGIN, spare=spare, what="two attempts")


def test_what_a_stalled_host_kept_from_happening_is_inconclusive(jitter: HostJitter) -> None:
    lacking()
    stall(jitter, BEGIN + 0.1, BEGIN + 0.25)
    lacking()
    stall(jitter, BEGIN + 0.3, BEGIN + 0.6)
    lacking(holds=True)
    with pytest.raises(Inconclusive, match="not two attempts, but the host stalled for 300 ms"):
        lacking()


@pytest.mark.usefixtures("jitter")
def test_nor_is_what_had_no_cpu_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STARVATION, "seconds", lambda: 0.25)
    lacking(spare=0.3)
    with pytest.raises(Inconclusive, match="waited 250 ms for a CPU"):
        lacking(spare=0.2)


def test_many_short_waits_of_both_sides_are_one_long_one(
    jitter: HostJitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tick in range(4):
        stall(jitter, BEGIN + tick * 0.1, BEGIN + tick * 0.1 + 0.04)
    monkeypatch.setattr(STARVATION, "seconds", lambda: 0.05)

    with pytest.raises(Inconclusive, match="suite and implementation waited 210 ms for a CPU"):
        expect_elapsed(0.5, since=BEGIN, at_most=0.3)
    with pytest.raises(NonConformance):
        expect_elapsed(0.6, since=BEGIN, at_most=0.3)
