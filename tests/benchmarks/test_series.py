"""Ratios of series whose ratio is known."""

import random

import pytest

from benchmarks.series import Series, ratio

KNOWN = 1.2


def _pair(seed: int, noise: float, blocks: int = 20) -> tuple[Series, Series]:
    """Return two series of which one takes KNOWN times as long, disturbed block by block alike."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    disturbed = [chance.uniform(1, 3) for _ in range(blocks)]

    def series(factor: float) -> Series:
        drawn = (
            tuple(factor * one * chance.uniform(1 - noise, 1 + noise) for _ in range(4))
            for one in disturbed
        )
        return Series(tuple(drawn), 0.0)

    return series(KNOWN), series(1.0)


def test_an_interval_contains_the_ratio_nineteen_times_of_twenty() -> None:
    found = [ratio(*_pair(seed, noise=0.3)) for seed in range(20)]

    contained = sum(one.low <= KNOWN <= one.high for one in found)

    assert contained >= 18
    assert all(one.low <= one.value <= one.high for one in found)
    assert sum(one.high - one.low for one in found) / len(found) < 0.5


def test_what_disturbs_a_pair_alike_leaves_its_ratio_alone() -> None:
    found = ratio(*_pair(1, noise=0.0))

    assert (found.value, found.low, found.high) == pytest.approx((KNOWN, KNOWN, KNOWN))


def test_the_same_seed_has_the_same_interval() -> None:
    one, base = _pair(2, noise=0.3)

    found = ratio(one, base, seed=5)

    assert ratio(one, base, seed=5) == found
    assert ratio(one, base, seed=6) != found
    assert ratio(one, base, seed=6).value == found.value


def test_series_of_different_length_were_not_measured_side_by_side() -> None:
    one, base = _pair(3, noise=0.1)

    with pytest.raises(ValueError, match="shorter"):
        ratio(one, Series(base.blocks[1:], 0.0))


def test_quantiles_go_from_the_least_to_the_longest() -> None:
    series = Series(((3.0, 1.0), (2.0, 5.0, 4.0)), 0.0)

    quantiles = series.quantiles()

    assert len(quantiles) == 101
    assert quantiles == sorted(quantiles)
    assert (quantiles[0], quantiles[50], quantiles[100]) == (1.0, 3.0, 5.0)
