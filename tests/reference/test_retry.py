"""The RetryPolicy: which attempts there are, and how far apart."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.config.client import Retry
from reference.mesh.retry import RetryPolicy

SETTINGS = Retry(
    max_attempts=5,
    initial_backoff=0.1,
    max_backoff=0.5,
    multiplier=2.0,
    retryable=frozenset({"UNAVAILABLE"}),
    jitter=0.0,
)


def _policy(**changes: Any) -> RetryPolicy:
    return RetryPolicy(replace(SETTINGS, **changes), chance=lambda: 0.5)


def test_delays_double_until_the_cap() -> None:
    policy = _policy()

    assert [policy.next_delay(n, "UNAVAILABLE", left=60) for n in (1, 2, 3, 4, 5)] == [
        0.1,
        0.2,
        0.4,
        0.5,
        None,
    ]


@pytest.mark.parametrize("code", ["NOT_FOUND", "DEADLINE_EXCEEDED", "OK"])
def test_a_code_that_is_not_listed_is_final(code: str) -> None:
    assert _policy().next_delay(1, code, left=60) is None


@pytest.mark.parametrize(("left", "delay"), [(0.1, None), (0.05, None), (-1, None), (0.11, 0.1)])
def test_a_wait_that_reaches_the_deadline_is_not_begun(left: float, delay: float | None) -> None:
    assert _policy().next_delay(1, "UNAVAILABLE", left=left) == delay


def test_jitter_only_shortens() -> None:
    assert _policy(jitter=0.4).backoff(1) == pytest.approx(0.08)


def test_a_power_beyond_floating_point_is_the_cap() -> None:
    assert _policy(multiplier=1e9).backoff(400) == 0.5


@given(
    attempt=st.integers(1, 10_000),
    multiplier=st.floats(1, 100),
    jitter=st.floats(0, 1),
    chance=st.floats(0, 1),
)
def test_no_delay_is_below_zero_or_above_the_cap(
    attempt: int, multiplier: float, jitter: float, chance: float
) -> None:
    policy = RetryPolicy(replace(SETTINGS, multiplier=multiplier, jitter=jitter), lambda: chance)

    assert 0 <= policy.backoff(attempt) <= SETTINGS.max_backoff
