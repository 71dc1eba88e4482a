"""Rate limits: token buckets, one of the service and one of each caller (RATE-1 to RATE-5).

A bucket is one number: the time at which it will be full again. Taking from it moves that
time on by what one call costs; a call passes while the bucket would be full within what
all calls but one of a burst cost. Time is whole nanoseconds, so that no rounding ever lets a
call too many through.
"""

from fractions import Fraction
from math import ceil

from ...config.auth import Rate, RateLimit
from .refusals import RateLimitedError

MOST_CALLERS = 65_536
"""Callers whose buckets are not full at once at most."""

LOOKS = 16
"""Buckets that are looked at for a full one when there are too many."""


class Price:
    """What calls cost, in nanoseconds.

    Args:
        rate: calls a second, and at once.
    """

    __slots__ = ("call", "credit")

    def __init__(self, rate: Rate) -> None:
        """Round up: never more than the rate."""
        self.call = ceil(Fraction(10**9) / Fraction(rate.a_second))
        self.credit = self.call * (rate.burst - 1)


class CallerBuckets:
    """One bucket a caller; who is not known has a full one.

    Args:
        price: what calls cost.
        most: callers that are known at once.
    """

    def __init__(self, price: Price, most: int = MOST_CALLERS) -> None:
        """Know nobody."""
        self.price = price
        self._most = most
        self._full_at: dict[str, int] = {}

    def __len__(self) -> int:
        """Count those who are known."""
        return len(self._full_at)

    def full_at(self, caller: str, now: int) -> int:
        """Return when the bucket of a caller will be full: now or later."""
        if (known := self._full_at.get(caller)) is not None:
            return max(known, now)
        if len(self._full_at) < self._most:
            return now
        delay = self._make_room(now)
        return now + self.price.credit + delay if delay else now

    def set(self, caller: str, full_at: int) -> None:
        """Change when the bucket of a caller will be full; `full_at` was asked for it before."""
        self._full_at[caller] = full_at

    def _make_room(self, now: int) -> int:
        """Forget buckets that are full again; return the nanoseconds until that can be done.

        Only some are looked at, the next ones the next time: one more caller is never much work.
        Where all are in use, who is new waits: nobody's bucket is forgotten in its favour.
        """
        nearest = None
        for _ in range(min(LOOKS, len(self._full_at))):
            caller = next(iter(self._full_at))
            full_at = self._full_at.pop(caller)
            if full_at > now:
                self._full_at[caller] = full_at
                nearest = min(full_at, nearest or full_at)
        return 0 if len(self._full_at) < self._most or nearest is None else nearest - now


class Limiter:
    """Lets calls through as the limits of a service say.

    Args:
        limit: of the service, and of each caller.
    """

    def __init__(self, limit: RateLimit) -> None:
        """Fill every bucket."""
        self._price = Price(limit.service)
        self._full_at = 0
        self._callers = CallerBuckets(Price(limit.caller)) if limit.caller else None

    def __repr__(self) -> str:
        """Show how many callers are known."""
        return f"Limiter(callers={0 if self._callers is None else len(self._callers)})"

    def admit(self, caller: str, now: int) -> None:
        """Let a call through, which takes one from its caller's bucket and the service's.

        Args:
            caller: subject of its token; empty: nobody knows.
            now: nanoseconds by a clock that never goes back, and is above 0.

        Raises:
            RateLimitedError: one of them has none left; nothing was taken from the other.
        """
        price, full_at = self._price, max(self._full_at, now)
        delay = full_at - now - price.credit
        callers = self._callers
        if callers is not None and caller:
            own = callers.full_at(caller, now)
            if (own_delay := own - now - callers.price.credit) > 0:
                raise RateLimitedError("the caller's rate limit", max(own_delay, delay))
            if delay <= 0:
                callers.set(caller, own + callers.price.call)
        if delay > 0:
            raise RateLimitedError("the service's rate limit", delay)
        self._full_at = full_at + price.call
