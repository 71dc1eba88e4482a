"""Judgement of rate limits, held against a bucket that is right by construction."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness.calls import Answer
from conformance.harness.judging import Inconclusive, NonConformance
from conformance.harness.limits import EXCEEDED, Bucket, Try, earned, expect_within

BUCKET = Bucket(rate=20, burst=5)

GAPS = st.lists(
    st.tuples(*[st.sampled_from([0.0, 0.001, 0.01, 0.04, 0.06, 0.3]) | st.floats(0, 0.5)] * 3),
    min_size=1,
    max_size=60,
)
"""Seconds of each call before it is sent, until it is let through or refused, and until that is
known: a host may take any of the three for as long as it likes."""


def called(
    gaps: Sequence[tuple[float, float, float]], bucket: Bucket, filled: float, most: float
) -> list[Try]:
    """Call one after the other; the bucket refills up to `most`."""
    tries, now, tokens = [], 0.0, filled
    for before, until_decided, after in gaps:
        begin = now + before
        decided = begin + until_decided
        passes = (tokens := min(tokens + (decided - now) * bucket.rate, most)) >= 1
        tokens -= passes
        # What comes back until the answer is there counts for the next call.
        tokens, now = min(tokens + after * bucket.rate, most), decided + after
        answer = Answer("OK") if passes else Answer(*EXCEEDED)
        tries.append(Try(begin, now, answer))
    return tries


@given(gaps=GAPS, filled=st.floats(0, 5))
def test_no_host_makes_a_right_bucket_wrong(
    gaps: list[tuple[float, float, float]], filled: float
) -> None:
    tries = called(gaps, BUCKET, filled, most=BUCKET.burst)
    if any(one.refused for one in tries):
        expect_within(tries, BUCKET, what="calls")

    assert sum(one.passed for one in tries) >= earned(tries, BUCKET.rate) - 1e-6


QUICK_CALLS = [(0.0, 0.0005, 0.0005)] * 500


@pytest.mark.parametrize(
    ("rate", "burst"), [(40, 5), (20, 7), (20, 500)], ids=["rate", "burst", "everything"]
)
def test_a_bucket_that_gives_too_much_is_found(rate: float, burst: int) -> None:
    tries = called(QUICK_CALLS, Bucket(rate, burst), filled=burst, most=burst)

    with pytest.raises(NonConformance, match=r"calls that were let through within .* at most"):
        expect_within(tries, BUCKET, what="calls")


@pytest.mark.parametrize("rate", [0, 4, 8])
def test_a_bucket_that_gives_too_little_is_found(rate: float) -> None:
    tries = called(QUICK_CALLS, Bucket(rate, 5), filled=0, most=5)

    assert sum(one.passed for one in tries) < earned(tries, BUCKET.rate) / 2


def test_calls_that_overlap_are_counted_from_the_first_to_the_last() -> None:
    at_once = [Try(0.0, 0.01 * number, Answer("OK")) for number in range(8, 0, -1)]

    with pytest.raises(NonConformance, match=r"within 0\.080 s: expected at most 7, observed 8"):
        expect_within(at_once, BUCKET, what="calls")


def test_calls_too_slow_for_the_limit_tell_nothing() -> None:
    slow = called([(1.0, 0.0, 0.0)] * 3, BUCKET, filled=5, most=5)

    with pytest.raises(Inconclusive, match=r"no limit was reached"):
        expect_within(slow, BUCKET, what="calls")


def test_another_failure_is_no_refusal() -> None:
    tries = [Try(0.0, 0.1, Answer(*EXCEEDED)), Try(0.1, 0.2, Answer("UNAVAILABLE", "gone"))]

    with pytest.raises(NonConformance, match=r"failed for another reason.*UNAVAILABLE"):
        expect_within(tries, BUCKET, what="calls")
