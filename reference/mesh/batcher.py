"""Batcher: single items in, whole batches out (document: Batch Operations).

A batch leaves when it is full, or when its first item has waited for
`max_wait`; never while `max_in_flight` others are out. With `max_wait` 0 an
item that comes while nothing is out leaves at once, and those that come
meanwhile leave together: group commit, without a delay for a lone caller.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Flush = Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]]


class BatcherClosedError(Exception):
    """The batcher takes no more items."""


class Batcher(Generic[Item, Result]):
    """Collects items and hands them to `flush` together.

    Args:
        flush: takes a batch, and returns one result or exception an item, in order.
            What it raises itself is every item's exception.
        max_size: items of a batch at most.
        max_wait: seconds from a batch's first item to its flush.
        max_in_flight: flushes that run at once.
    """

    def __init__(
        self,
        flush: "Flush[Item, Result]",
        *,
        max_size: int,
        max_wait: float,
        max_in_flight: int = 1,
    ) -> None:
        """Start empty."""
        self._flush = flush
        self._max_size = max_size
        self._max_wait = max_wait
        self._max_in_flight = max_in_flight
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._due = False
        self._closed = False

    def __repr__(self) -> str:
        """Show what waits and what is out."""
        return (
            f"Batcher(waiting={len(self._waiting)}, in_flight={len(self._running)},"
            f" closed={self._closed})"
        )

    async def submit(self, item: Item) -> Result:
        """Add an item, and wait for its own result.

        Raises:
            BatcherClosedError: the batcher was closed before.
            Exception: whatever the flush gave for this item.
        """
        if self._closed:
            raise BatcherClosedError("the batcher is closed")
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        self._leave()
        return await result

    async def close(self) -> None:
        """Take no more items, and wait until all that were taken have their results."""
        self._closed = True
        self._leave()
        while self._running:
            await asyncio.wait(self._running)

    def _leave(self) -> None:
        """Start as many flushes as are due and allowed."""
        while self._waiting and len(self._running) < self._max_in_flight and self._ready():
            self._stop_timer()
            size = min(self._max_size, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(size)]
            task = asyncio.create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._done)
        if self._waiting and self._timer is None and not self._ready():
            self._timer = asyncio.get_running_loop().call_later(self._max_wait, self._expire)

    def _ready(self) -> bool:
        return (
            self._due or self._closed or self._max_wait == 0 or len(self._waiting) >= self._max_size
        )

    def _expire(self) -> None:
        self._due = True
        self._leave()

    def _stop_timer(self) -> None:
        self._due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._leave()

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is handed to those who wait
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            # A caller that was cancelled no longer waits.
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
