"""RetryPolicy: whether a failed attempt is followed by another, and when (document: Retry Logic).

Pure: it looks at no clock and waits for nothing.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..config.client import Retry


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Decides on the next attempt.

    Args:
        settings: durations in seconds.
        chance: returns 0 to 1; used when a jitter is configured.
    """

    settings: Retry
    chance: Callable[[], float] = random.random

    def backoff(self, attempt: int) -> float:
        """Return the seconds between attempt number `attempt` (from 1) and the next (RTY-2)."""
        try:
            grown = self.settings.initial_backoff * self.settings.multiplier ** (attempt - 1)
        except OverflowError:
            grown = self.settings.max_backoff
        delay = min(grown, self.settings.max_backoff)
        if self.settings.jitter:
            delay *= 1 - self.settings.jitter * self.chance()
        return delay

    def next_delay(self, attempt: int, code: str, *, left: float) -> float | None:
        """Return the seconds to wait before the next attempt; None if there is none.

        Args:
            attempt: number of the one that failed, from 1.
            code: what it failed with.
            left: seconds to the deadline of the whole call. A wait that would not end
                before it is not begun (RTY-5).
        """
        if attempt >= self.settings.max_attempts or code not in self.settings.retryable:
            return None
        delay = self.backoff(attempt)
        return delay if delay < left else None
