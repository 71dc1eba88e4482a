"""The Batcher: what leaves together, when, and who gets which result."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.mesh.batcher import Batcher, BatcherClosedError


class Sink:
    """Takes batches, answers each item with its double, and can be held."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def flush(self, items: list[int]) -> Sequence[int | Exception]:
        self.batches.append(items)
        await self.open.wait()
        return [item * 2 if item >= 0 else ValueError(item) for item in items]


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_lone_item_leaves_at_once_without_a_wait() -> None:
    sink = Sink()
    batcher: Batcher[int, int] = Batcher(sink.flush, max_size=10, max_wait=0)

    assert await batcher.submit(1) == 2
    assert sink.batches == [[1]]


async def test_what_comes_while_a_batch_is_out_leaves_together() -> None:
    sink = Sink()
    sink.open.clear()
    batcher: Batcher[int, int] = Batcher(sink.flush, max_size=3, max_wait=0)

    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(6)]
    await _settle()
    assert sink.batches == [[0]]
    sink.open.set()

    assert list(await asyncio.gather(*tasks)) == [0, 2, 4, 6, 8, 10]
    assert sink.batches == [[0], [1, 2, 3], [4, 5]]


async def test_a_batch_that_is_not_full_waits_for_max_wait() -> None:
    sink = Sink()
    batcher: Batcher[int, int] = Batcher(sink.flush, max_size=3, max_wait=0.05)

    before = asyncio.get_running_loop().time()
    results = list(await asyncio.gather(batcher.submit(1), batcher.submit(2)))

    assert results == [2, 4]
    assert sink.batches == [[1, 2]]
    assert asyncio.get_running_loop().time() - before >= 0.05


async def test_a_full_batch_does_not_wait() -> None:
    sink = Sink()
    batcher: Batcher[int, int] = Batcher(sink.flush, max_size=2, max_wait=3600)

    async with asyncio.timeout(5):
        assert list(await asyncio.gather(batcher.submit(1), batcher.submit(2))) == [2, 4]


async def test_one_bad_item_fails_alone() -> None:
    batcher: Batcher[int, int] = Batcher(Sink().flush, max_size=3, max_wait=3600)

    results = await asyncio.gather(*map(batcher.submit, (1, -1, 2)), return_exceptions=True)

    assert [results[0], results[2]] == [2, 4]
    assert isinstance(results[1], ValueError)


async def test_what_the_flush_raises_is_everybodys() -> None:
    async def flush(_: list[int]) -> Sequence[int]:
        raise OSError("disk full")

    batcher: Batcher[int, int] = Batcher(flush, max_size=2, max_wait=3600)
    results = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)

    assert [str(result) for result in results] == ["disk full"] * 2


async def test_a_cancelled_caller_disturbs_nobody() -> None:
    sink = Sink()
    sink.open.clear()
    batcher: Batcher[int, int] = Batcher(sink.flush, max_size=10, max_wait=0)
    first, second = (asyncio.create_task(batcher.submit(n)) for n in (1, 2))
    await _settle()

    first.cancel()
    await _settle()
    sink.open.set()

    assert await second == 4
    assert first.cancelled()


async def test_close_flushes_what_waits_and_takes_no_more() -> None:
    sink = Sink()
    batcher: Batcher[int, int] = Batcher(sink.flush, max_size=10, max_wait=3600)
    waiting = asyncio.create_task(batcher.submit(1))
    await _settle()

    await batcher.close()

    assert await waiting == 2
    assert repr(batcher) == "Batcher(waiting=0, in_flight=0, closed=True)"
    with pytest.raises(BatcherClosedError):
        await batcher.submit(2)


@given(
    items=st.lists(st.integers(-5, 100), max_size=40),
    size=st.integers(1, 7),
    in_flight=st.integers(1, 3),
)
async def test_every_item_gets_its_own_result(items: list[int], size: int, in_flight: int) -> None:
    sink = Sink()
    batcher: Batcher[int, int] = Batcher(
        sink.flush, max_size=size, max_wait=0, max_in_flight=in_flight
    )

    results = await asyncio.gather(*map(batcher.submit, items), return_exceptions=True)

    assert [r if isinstance(r, int) else "refused" for r in results] == [
        item * 2 if item >= 0 else "refused" for item in items
    ]
    assert [item for batch in sink.batches for item in batch] == items
    assert all(len(batch) <= size for batch in sink.batches)
