"""Counting what is dropped, and telling it now and then."""

import asyncio
from collections.abc import Iterator

import pytest
import structlog.testing

from reference.mesh.telemetry.drops import DropCounter

from .mesh_place import NEVER, eventually


@pytest.fixture
def lines() -> Iterator[list[dict[str, int]]]:
    with structlog.testing.capture_logs() as captured:
        yield captured  # type: ignore[misc]


def _told(lines: list[dict[str, int]]) -> list[tuple[int, int]]:
    return [(line["dropped"], line["total"]) for line in lines]


async def test_the_first_is_told_at_once_and_the_rest_at_the_end(
    lines: list[dict[str, int]],
) -> None:
    drops = DropCounter("metric", "dropped", NEVER)

    for number in (0, 1, 2, 3):
        drops.add(number)
    assert _told(lines) == [(1, 1)]
    drops.close()

    assert _told(lines) == [(1, 1), (5, 6)]
    assert repr(drops) == "DropCounter('metric', total=6)"


async def test_what_comes_meanwhile_is_told_after_the_interval(
    lines: list[dict[str, int]],
) -> None:
    drops = DropCounter("metric", "dropped", 0.01)

    drops.add()
    drops.add(2)
    await eventually(lambda: len(lines) == 2)
    assert _told(lines) == [(1, 1), (2, 3)]
    # The interval after which there is nothing to tell.
    await eventually(lambda: drops._timer is None)
    drops.add()

    assert _told(lines) == [(1, 1), (2, 3), (1, 4)]
    drops.close()
    await asyncio.sleep(0)


async def test_nothing_dropped_is_nothing_told(lines: list[dict[str, int]]) -> None:
    drops = DropCounter("metric", "dropped")

    drops.close()

    assert lines == []
