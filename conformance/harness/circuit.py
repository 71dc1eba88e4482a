"""The words for a circuit breaker: what brings it into a state, and what tells the state."""

import asyncio
import time

from . import bounds
from .arrivals import Arrival
from .bounds import until
from .driver import Driver
from .history import ROUNDING
from .judging import did, expect, inconclusive, untestable
from .outcomes import Outcome
from .peer import Peer
from .replies import PING, Reply, echo, fails, held
from .service import seconds

REFUSED = ("UNAVAILABLE", "circuit open")
"""Code and message of a call that a breaker refuses."""

DOWN = fails("UNAVAILABLE", "down")
"""The answer of a server that cannot."""

_PATIENCE = 2
"""Times the configured threshold after which a circuit is taken for one that never opens."""


class Circuit:
    """The circuit breaker of one service. Its state is told by what reaches the peer.

    Args:
        driver: whose breaker it is; its configuration names the thresholds.
        peer: plays the service.
        service: its name; empty: the peer's.
        version: the version that is asked for.
    """

    def __init__(self, driver: Driver, peer: Peer, service: str = "", version: str = "") -> None:
        """Know the driver and the peer; nothing is called yet."""
        settings = driver.settings["circuit"]
        self._driver = driver
        self.peer = peer
        """Plays the service."""
        self.service = service or peer.name
        """Its name."""
        self._version = version
        self.failures: int = settings["failure_threshold"]
        """Failures in a row that open it."""
        self.successes: int = settings["success_threshold"]
        """Successes that close it, and trial calls at once."""
        self.timeout = seconds(settings["timeout"])
        """Seconds that a call with one answer may take."""
        self.wait = seconds(settings["half_open_timeout"])
        """Seconds from its opening to the first trial call."""

    def __repr__(self) -> str:
        """Show whose it is."""
        return f"Circuit({self.service!r})"

    async def call(self, method: str = "UNARY") -> Outcome:
        """Make a call."""
        return await self._driver.call(self.service, PING, method=method, version=self._version)

    async def calls(self, *replies: Reply, method: str = "UNARY") -> list[Outcome]:
        """Make one call after the other, each answered as given."""
        self.peer.answers(*replies)
        return [await self.call(method) for _ in replies]

    async def begins(self, *replies: Reply) -> list[asyncio.Task[Outcome]]:
        """Begin calls that are answered as given, but not before `peer.release()`.

        Their answers are streams, which `circuit.timeout` does not bound.

        Raises:
            NonConformance: one does not arrive.
        """
        begun = []
        for reply in replies:
            count = len(self.peer.arrivals)
            self.peer.answers(held(reply))
            begun.append(self._driver.begin(self.service, PING, method="SERVER_STREAM"))
            await self.peer.arrived(count + 1)
        return begun

    async def opens(self) -> Arrival:
        """Let calls fail until one does not arrive; return the failure that opened it.

        Raises:
            Untestable: all of them arrive.
        """
        self.peer.otherwise = DOWN
        for _ in range(_PATIENCE * self.failures + 1):
            count = len(self.peer.arrivals)
            await self.call()
            if len(self.peer.arrivals) == count:
                break
        else:
            untestable(f"the circuit is not open after {_PATIENCE * self.failures + 1} failures")
        if not self.peer.arrivals:
            untestable("no call arrives at the peer, not even the first one")
        did(f"{self.peer.name}: the circuit is open")
        self.peer.otherwise = echo()
        return self.peer.arrivals[-1]

    async def half_opens(self) -> None:
        """Open it, and let the wait pass: the next call is the first trial."""
        await self.opens()
        await self.passes(self.wait)

    async def passes(self, duration: float) -> None:
        """Wait until so many seconds have passed from now on, by anybody's measure."""
        end = time.monotonic() + duration + ROUNDING
        await until(
            lambda: time.monotonic() >= end, bound=duration + bounds.PROMPT, what="time passes"
        )

    async def refuses(self, *methods: str, since: float | None = None) -> list[Outcome]:
        """Make a call of each method while the circuit must be open; default: a unary one.

        Args:
            methods: as `Driver.call` takes them.
            since: when it opened at the earliest; None: when the last arrival was answered.

        Raises:
            NonConformance: one arrives.
            Inconclusive: the wait was over before they were made.
        """
        count, opened = len(self.peer.arrivals), since
        if opened is None:
            opened = self.peer.arrivals[-1].answered or 0.0
        outcomes = [await self.call(method) for method in methods or ("UNARY",)]
        arrived = self.peer.arrivals[count:]
        if arrived and arrived[0].time >= opened + self.wait:
            inconclusive(f"calls were made later than {self.wait:g} s after the circuit opened")
        expect(arrived, equals=[], what="calls that arrive while the circuit is open")
        return outcomes

    async def tries(self) -> Outcome:
        """Call again and again until a call arrives, and return how that one ended.

        Raises:
            NonConformance: none does, long after `half_open_timeout`.
        """
        count = len(self.peer.arrivals)

        async def arrives() -> Outcome | None:
            outcome = await self.call()
            return outcome if len(self.peer.arrivals) > count else None

        trial: Outcome = await until(
            arrives, bound=self.wait + bounds.PROMPT, what="a trial call arrives"
        )
        return trial
