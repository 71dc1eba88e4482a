"""What a call leaves behind: counted, logged and traced soon after its answer.

Nobody waits for that, and it is done for several calls together: what a processor does once, among
all else of a call, takes it several times as long as what it does again and again.
"""

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from time import monotonic_ns

from .calls import Call
from .stages import Stage

SOON = 0.005
"""Seconds until the stages know of a call, at most."""

MANY = 16
"""Calls that have ended of which they are told sooner: so few keep no other call waiting."""


class Aftermath:
    """Tells stages of calls that have begun and ended.

    Args:
        stages: told in their order of those that have begun, in reverse of those that have ended.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        """Start with no call."""
        # A stage that wants to know nothing costs nothing.
        self._told_begun = [each.began for each in stages if type(each).began is not Stage.began]
        self._told_done = [each.done for each in stages if type(each).done is not Stage.done][::-1]
        self._begun: list[Call] = []
        self._ended: list[Call] = []
        self.begun = self._begun.append
        """Takes a call that is answered from now on, or refused."""
        self._timer: asyncio.TimerHandle | None = None
        # Not that of the call at whose end it happens to be.
        self._context = copy_context()

    def __repr__(self) -> str:
        """Show how many calls the stages do not know all of."""
        return f"Aftermath(begun={len(self._begun)}, ended={len(self._ended)})"

    def ended(self, call: Call) -> None:
        """Take a call that ends now."""
        call.ended = monotonic_ns()
        # gRPC must not be asked any more.
        call.ask_peer = str
        self._ended.append(call)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(SOON, self._settle_soon, context=self._context)
        elif len(self._ended) == MANY:
            # Not now: the answer of this one call is not on the way yet.
            asyncio.get_running_loop().call_soon(self.settle, context=self._context)

    def settle(self) -> None:
        """Tell the stages all that they do not know yet, now."""
        begun, ended = list(self._begun), list(self._ended)
        self._begun.clear()
        self._ended.clear()
        for began in self._told_begun:
            began(begun)
        for done in self._told_done:
            done(ended)

    def _settle_soon(self) -> None:
        self._timer = None
        self.settle()
