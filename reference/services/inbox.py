"""An inbox: what one subscriber has not read yet, bounded, and never waited for."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """Items in the order in which they were put, for one reader.

    Args:
        capacity: items kept at most.
    """

    def __init__(self, capacity: int) -> None:
        """Start empty."""
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._end: Exception | None = None
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        """Show how many items wait, and why it ended."""
        return f"{type(self).__name__}(waiting={len(self._items)}, end={self._end!r})"

    def put(self, item: Item) -> bool:
        """Keep an item for the reader; False when there is no room, or it has ended."""
        if self._end is not None or len(self._items) >= self._capacity:
            return False
        self._items.append(item)
        self._changed.set()
        return True

    def end(self, error: Exception) -> None:
        """End it by an error, once what waits was read; the first error stays."""
        if self._end is None:
            self._end = error
            self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Yield the items; raises what ended the inbox."""
        while True:
            while self._items:
                yield self._items.popleft()
            if self._end is not None:
                raise self._end
            self._changed.clear()
            await self._changed.wait()
