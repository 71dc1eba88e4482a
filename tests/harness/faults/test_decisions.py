"""What toxics decide, without a clock and without a connection."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness.faults.attributes import created
from conformance.harness.faults.decisions import (
    DECISIONS,
    FOREVER,
    Chunk,
    Decision,
    End,
    Send,
    Step,
    decision,
)

DATA = bytes(range(256)) * 8


def made(kind: str, seed: int = 1, **attributes: int) -> Decision:
    settings = created({"type": kind, "attributes": attributes})
    return decision(settings, random.Random(seed), 100.0)  # noqa: S311


def taken(decided: Decision, *chunks: bytes, now: float = 100.0) -> list[Step]:
    return [step for data in chunks for step in decided.take(Chunk(data, now), now)]


def passed(steps: Iterable[Step]) -> bytes:
    return b"".join(step.chunk.data for step in steps if isinstance(step, Send))


@pytest.mark.parametrize("kind", sorted(set(DECISIONS) - {"timeout", "corrupt", "limit_data"}))
@given(data=st.binary(min_size=1, max_size=5000), seed=st.integers(0, 1 << 32))
def test_whatever_is_late_is_whole(kind: str, data: bytes, seed: int) -> None:
    attributes = {
        "latency": {"latency": 50, "jitter": 40},
        "bandwidth": {"rate": 3},
        "slicer": {"average_size": 7, "size_variation": 5, "delay": 10},
    }.get(kind, {})
    steps = taken(made(kind, seed, **attributes), data)

    assert passed(steps) == data
    assert all(isinstance(step, Send) and step.chunk.data for step in steps)


def test_latency_counts_from_the_arrival_and_jitter_is_within_bounds() -> None:
    plain = taken(made("latency", latency=250), b"x", now=3.0)
    jittered = made("latency", latency=250, jitter=50)
    times = [step.at for _ in range(500) for step in taken(jittered, b"x", now=3.0)]

    assert plain == [Send(Chunk(b"x", 3.0), 3.25)]
    assert 3.2 <= min(times) < 3.21
    assert 3.29 < max(times) <= 3.3


def test_bandwidth_is_a_line_that_is_busy_until_it_is_free() -> None:
    decided = made("bandwidth", rate=1)  # 1000 bytes a second, slices of 100

    first = taken(decided, bytes(250))
    second = taken(decided, bytes(100), now=100.1)

    assert [round(step.at, 6) for step in first] == [100.1, 100.2, 100.25]
    assert [round(step.at, 6) for step in second] == [100.35]


def test_bandwidth_of_nothing_holds_back() -> None:
    assert [step.at for step in taken(made("bandwidth", rate=0), b"x")] == [FOREVER]


def test_slices_are_of_about_the_size_with_a_pause_between() -> None:
    steps = taken(made("slicer", average_size=64, size_variation=16, delay=500), DATA)
    sizes = [len(step.chunk.data) for step in steps if isinstance(step, Send)]

    assert max(sizes) <= 80
    assert len(DATA) / 80 <= len(sizes) <= len(DATA) / 16
    assert [round(step.at - 100, 6) for step in steps[:3]] == [0, 0.0005, 0.001]


@pytest.mark.parametrize("variation", [0, 1, 3, 1000])
def test_slices_of_any_variation_come_to_an_end(variation: int) -> None:
    steps = taken(made("slicer", average_size=1, size_variation=variation), DATA)

    assert passed(steps) == DATA


@pytest.mark.parametrize("chunks", [(b"abcdef",), (b"ab", b"cdef"), (b"abc", b"def"), (b"abcd",)])
def test_limited_data_ends_with_the_last_byte(chunks: tuple[bytes, ...]) -> None:
    decided, steps = made("limit_data", bytes=4), []
    for chunk in chunks:
        steps += taken(decided, chunk)
        if any(isinstance(step, End) for step in steps):
            break

    assert passed(steps) == b"abcd"
    assert isinstance(steps[-1], End)


def test_bytes_that_have_passed_count_on_when_the_limit_changes() -> None:
    first = made("limit_data", bytes=10)
    taken(first, b"abc")
    settings = created({"type": "limit_data", "attributes": {"bytes": 5}})

    steps = taken(decision(settings, first.chance, 0.0, first), b"defg")

    assert passed(steps) == b"de"


def test_nothing_passes_a_timeout_which_expires_after_the_last_that_came() -> None:
    decided = made("timeout", timeout=500)

    assert taken(decided, b"lost") == []
    assert decided.expires == 100.5
    decided.latest = 200.0
    assert decided.expires == 200.5
    assert made("timeout").expires == FOREVER


def test_a_slow_close_ends_late() -> None:
    assert list(made("slow_close", delay=300).end(5.0)) == [End(5.3)]


def test_one_bit_of_each_run_is_flipped_the_same_for_the_same_seed() -> None:
    chunks = [DATA[:10], DATA[10:11], DATA[11:]]
    found = [
        passed(taken(made("corrupt", seed, every=100, after=50), *chunks)) for seed in (1, 1, 2)
    ]
    differing = [place for place, byte in enumerate(found[0]) if byte != DATA[place]]

    assert found[0] == found[1] != found[2]
    assert len(found[0]) == len(DATA)
    assert [(place - 50) // 100 for place in differing[:19]] == list(range(19))
    assert all((found[0][place] ^ DATA[place]).bit_count() == 1 for place in differing)
