"""Things that were dropped on purpose: counted, and told to the log now and then."""

import asyncio

from .logging import logger
from .measures import PROCESS

INTERVAL = 10.0
"""Seconds between two lines: dropping is what keeps an overload cheap, so telling must be."""


class DropCounter:
    """Counts what is dropped.

    Args:
        metric: name under which the total is exported.
        message: what the log says, beside the number since the line before.
        interval: seconds between two lines at least.
    """

    def __init__(self, metric: str, message: str, interval: float = INTERVAL) -> None:
        """Start at zero."""
        self.metric = metric
        self._counter = PROCESS.counter(metric, message)
        self._before = self._counter.total
        self._message = message
        self._interval = interval
        self._told = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def total(self) -> int:
        """Dropped since this was made."""
        return self._counter.total - self._before

    def __repr__(self) -> str:
        """Show the total."""
        return f"DropCounter({self.metric!r}, total={self.total})"

    def add(self, number: int = 1) -> None:
        """Count; the first after a while is told at once, those that follow at the interval."""
        self._counter.add(number)
        if number and self._timer is None:
            self._tell_on()

    def close(self) -> None:
        """Tell what was not told yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell()

    def _tell_on(self) -> None:
        """Tell, and look again after the interval for as long as there is something to tell."""
        self._timer = None
        if self._tell():
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._tell_on)

    def _tell(self) -> bool:
        if (new := self.total - self._told) == 0:
            return False
        self._told = self.total
        logger().warning(self._message, dropped=new, total=self.total)
        return True
