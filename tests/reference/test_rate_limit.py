"""Rate limits: what buckets let through, in any history, and what a refusal says."""

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from reference.config.auth import Rate, RateLimit
from reference.mesh.errors import to_status
from reference.mesh.security.rate_limit import CallerBuckets, Limiter, Price
from reference.mesh.security.refusals import LONGEST_DELAY, RateLimitedError

SECOND = 10**9


@dataclass
class Clock:
    """Nanoseconds that go on when they are told to."""

    time: int = 7 * SECOND


def _limiter(service: Rate, caller: Rate | None = None) -> tuple[Limiter, Clock]:
    return Limiter(RateLimit(service, caller)), Clock()


def _delay(limiter: Limiter, clock: Clock, caller: str = "") -> int:
    """Ask for a call; return the delay of its refusal, 0 when it is let through."""
    try:
        limiter.admit(caller, clock.time)
    except RateLimitedError as error:
        return error.delay
    return 0


def test_a_burst_passes_and_then_one_at_a_time() -> None:
    limiter, clock = _limiter(Rate(10, 3))

    assert [_delay(limiter, clock) for _ in range(4)] == [0, 0, 0, SECOND // 10]
    clock.time += SECOND // 10 - 1
    assert _delay(limiter, clock) == 1
    clock.time += 1
    assert [_delay(limiter, clock) for _ in range(2)] == [0, SECOND // 10]
    clock.time += 3600 * SECOND
    assert [_delay(limiter, clock) for _ in range(4)] == [0, 0, 0, SECOND // 10]


def test_time_is_rounded_in_favour_of_the_limit() -> None:
    limiter, clock = _limiter(Rate(3, 1))
    passed = []
    for _ in range(7):
        clock.time += _delay(limiter, clock)
        passed.append(clock.time)
        _delay(limiter, clock)

    assert passed[1] - passed[0] == -(-SECOND // 3)
    assert _within(passed, Rate(3, 1))


def test_a_refusal_takes_nothing() -> None:
    limiter, clock = _limiter(Rate(1, 1))
    _delay(limiter, clock)

    for _ in range(100):
        assert _delay(limiter, clock) == SECOND

    clock.time += SECOND
    assert _delay(limiter, clock) == 0


def test_one_caller_does_not_use_up_anothers_share() -> None:
    limiter, clock = _limiter(Rate(1, 5), Rate(1, 2))

    assert [_delay(limiter, clock, "a") for _ in range(9)] == [0, 0, *[SECOND] * 7]
    assert [_delay(limiter, clock, "b") for _ in range(2)] == [0, 0]
    assert [_delay(limiter, clock) for _ in range(2)] == [0, SECOND]
    assert repr(limiter) == "Limiter(callers=2)"


def test_a_call_that_the_service_refuses_takes_nothing_from_its_caller() -> None:
    limiter, clock = _limiter(Rate(1, 1), Rate(0.1, 2))
    assert _delay(limiter, clock, "a") == 0
    assert _delay(limiter, clock, "a") == SECOND

    clock.time += SECOND

    assert _delay(limiter, clock, "a") == 0


def test_the_delay_is_the_longer_of_the_two() -> None:
    limiter, clock = _limiter(Rate(0.5, 1), Rate(1, 1))
    _delay(limiter, clock, "a")

    with pytest.raises(RateLimitedError) as caught:
        limiter.admit("a", clock.time)

    assert (caught.value.reason, caught.value.delay) == ("the caller's rate limit", 2 * SECOND)


def _retry_delay(error: RateLimitedError) -> Duration:
    found = error_details_pb2.RetryInfo()
    (detail,) = error.details
    assert detail.Unpack(found)
    delay: Duration = found.retry_delay
    return delay


def test_a_refusal_says_when_to_come_back() -> None:
    limiter, clock = _limiter(Rate(4, 1))
    _delay(limiter, clock)
    clock.time += 1

    with pytest.raises(RateLimitedError) as caught:
        limiter.admit("", clock.time)

    status = to_status(caught.value)
    assert (status.code.name, status.message) == ("RESOURCE_EXHAUSTED", "rate limit exceeded")
    assert _retry_delay(caught.value) == Duration(nanos=SECOND // 4 - 1)
    assert caught.value.reason == "the service's rate limit"


def test_a_delay_beyond_every_duration_is_the_longest() -> None:
    limiter, clock = _limiter(Rate(5e-324, 1))
    _delay(limiter, clock)

    with pytest.raises(RateLimitedError) as caught:
        limiter.admit("", clock.time)

    assert _retry_delay(caught.value) == Duration(seconds=LONGEST_DELAY)


RATES = st.builds(
    Rate,
    st.floats(min_value=1e-3, max_value=1e6, allow_nan=False),
    st.integers(min_value=1, max_value=20),
)
WAITS = st.integers(min_value=0, max_value=3 * SECOND) | st.integers(min_value=0, max_value=10**6)
HISTORIES = st.lists(st.tuples(WAITS, st.sampled_from(["a", "b", "c", ""])), max_size=60)


def _within(times: list[int], rate: Rate) -> bool:
    """Tell whether no stretch of time saw more than burst + rate x its length; exactly."""
    return all(
        later - earlier + 1
        <= rate.burst + Fraction(rate.a_second) * Fraction(times[later] - times[earlier], SECOND)
        for earlier in range(len(times))
        for later in range(earlier, len(times))
    )


@given(RATES, RATES | st.none(), HISTORIES)
def test_never_more_than_burst_and_rate_in_any_history(
    service: Rate, caller: Rate | None, history: list[tuple[int, str]]
) -> None:
    limiter, clock = _limiter(service, caller)
    passed: dict[str, list[int]] = defaultdict(list)

    for wait, who in history:
        clock.time += wait
        if delay := _delay(limiter, clock, who):
            # What it says is true, and not a nanosecond too late.
            clock.time += delay - 1
            assert _delay(limiter, clock, who) == 1
        else:
            passed["all"].append(clock.time)
            passed[who or "nobody"].append(clock.time)

    assert _within(passed.pop("all", []), service)
    passed.pop("nobody", None)
    if caller is not None:
        assert all(_within(times, caller) for times in passed.values())


@given(RATES, st.lists(WAITS, max_size=40))
def test_who_comes_when_told_is_let_through(rate: Rate, waits: list[int]) -> None:
    limiter, clock = _limiter(rate)

    for wait in waits:
        clock.time += wait
        if delay := _delay(limiter, clock):
            clock.time += delay
            assert _delay(limiter, clock) == 0


def _took(buckets: CallerBuckets, caller: str, now: int) -> int:
    """Take a call from a caller's bucket; return the delay if that is not to be, else 0."""
    full_at = buckets.full_at(caller, now)
    if (delay := full_at - now - buckets.price.credit) > 0:
        return delay
    buckets.set(caller, full_at + buckets.price.call)
    return 0


@given(RATES, st.lists(st.tuples(WAITS, st.integers(0, 30)), max_size=80))
def test_buckets_are_bounded_and_nobody_gains_by_it(
    rate: Rate, history: list[tuple[int, int]]
) -> None:
    buckets, now = CallerBuckets(Price(rate), most=4), 0
    passed: dict[str, list[int]] = defaultdict(list)

    for wait, number in history:
        now += wait
        if _took(buckets, caller := str(number), now) == 0:
            passed[caller].append(now)
        assert len(buckets) <= 4

    assert all(_within(times, rate) for times in passed.values())


def test_full_buckets_are_forgotten_for_new_callers() -> None:
    buckets = CallerBuckets(Price(Rate(1, 2)), most=2)
    for caller in ("a", "b"):
        _took(buckets, caller, 0)

    assert _took(buckets, "c", SECOND - 1) == 1
    assert _took(buckets, "c", SECOND) == 0
    assert len(buckets) == 1


def test_only_some_are_looked_at_for_room() -> None:
    buckets = CallerBuckets(Price(Rate(1, 100)), most=40)
    for number in range(40):
        for _ in range(1 if number == 39 else 9):
            _took(buckets, str(number), 0)

    delays = [_took(buckets, "new", 2 * SECOND) for _ in range(3)]

    assert delays == [7 * SECOND, 7 * SECOND, 0]


def test_without_a_callers_limit_callers_share_the_services() -> None:
    limiter, clock = _limiter(Rate(1, 2))

    assert [_delay(limiter, clock, who) for who in "aab"] == [0, 0, SECOND]
    assert repr(limiter) == "Limiter(callers=0)"
