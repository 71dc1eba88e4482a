"""A whole node that is written to while its services are killed, stopped and restarted."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import bounds
from .acknowledged import APPEND, KINDS, Writes
from .addresses import UnixAddress
from .bounds import until
from .company import Company
from .judging import NonConformance, did, expect
from .nodes import Node
from .orchestrator import Orchestrator, shown, state_of
from .writing import AGAIN, SERVICES, Writer, writes_of

NAMES = tuple(SERVICES)
"""The services that things happen to."""

HEALS = 10.0
"""Seconds until every service is RUNNING again, and takes writes (CONFORMANCE.md, FLT-7)."""

BURST = 0.5
"""Seconds for so many writes to be acknowledged as a blow waits for; on an idle host 0.01. While
a service is still away none is: then the blow comes all the same."""

CALLERS = 2
"""Callers that write at once, of each kind."""

PATIENCE = 0.02
"""Seconds for which a caller leaves a service alone that did not answer."""

ASKED_AGAIN = 16
"""Entries that were acknowledged last, and are appended again at the end of a sequence."""

TRIES = 4
"""Times that something is looked for, as long as services are replaced meanwhile."""

SHOWN = 8
"""Problems that a failure shows."""

SETTINGS: Mapping[str, Any] = {
    "health": {"interval": "0.1s", "timeout": "0.4s", "watch_interval": "0.2s"},
    "orchestrator": {
        "start_timeout": "10s",
        "restart_backoff": "0.05s",
        "max_restart_backoff": "0.1s",
        "restart_reset": "0.1s",
        # Services are killed as soon as they serve, again and again.
        "max_restarts": 100_000,
    },
}

KILL, HANG, RESTART, NOTHING = "KILL", "HANG", "RESTART", "NOTHING"

HOWS = (KILL, HANG, RESTART, NOTHING)
"""What happens to a service: SIGKILL; SIGSTOP, for the health check to find; RestartService;
nothing, where it was stopped for a moment before."""


SIGNALS = {KILL: signal.SIGKILL, HANG: signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens to which services, and when."""

    victims: Sequence[str]
    """Names of services; all at once."""
    how: str
    """One of HOWS."""
    after: int = 1
    """So many writes of each kind that a victim takes are acknowledged before, in a burst."""
    paused: float = 0.0
    """Seconds for which the victims are stopped once, before that."""
    healed: bool = True
    """Whether all services run at first; else what was done before may not be over."""

    def __str__(self) -> str:
        """Say it in words."""
        pause = f"stop them for {self.paused:g} s; " if self.paused else ""
        at_once = "" if self.healed else ", without waiting for the node"
        return (
            f"write{at_once}; {pause}after {self.after} acknowledged:"
            f" {self.how} {', '.join(self.victims)}"
        )


class Chaos:
    """A node under an orchestrator, somebody who writes to it, and what happens to it.

    Args:
        node: in which the orchestrator runs.
        seed: of the files that are written.
    """

    def __init__(self, node: Node, seed: int) -> None:
        """Nothing is started."""
        self.node = node
        self.orchestrator: Orchestrator
        self.writer = Writer(seed)
        self.histories: list[Writes] = [self.writer.writes]
        """Of each sequence since the node began, the last one is not over."""
        self.blows: Counter[str] = Counter()
        """How often which fault was injected."""
        self._company = Company(node, "identity", "ledger")
        self._victims: dict[str, int] = {}
        """PIDs of processes that do not come back, by service."""
        self._first: Any = None

    def __repr__(self) -> str:
        """Show what happened to whom."""
        return f"Chaos({dict(self.blows)}, {self.writer})"

    async def begin(self) -> None:
        """Start the node, and create the owner of all files.

        Raises:
            NonConformance: a service does not come to RUNNING.
        """
        settings = {**self._company.settings, **AGAIN, **SETTINGS}
        self.orchestrator = await self.node.orchestrate(settings, services=NAMES)
        await self._all_run()
        self.writer.services = {
            name: kind(
                path := self.node.socket(name), None, 0.0, UnixAddress(path), self.node.metadata
            )
            for name, kind in SERVICES.items()
        }
        self.writer.connect()
        await self.writer.own(self._company.caller)

    async def turn(self) -> None:
        """Begin a sequence: with a history of its own, on a node that is well.

        Raises:
            NonConformance: the node does not heal.
        """

        async def begin() -> None:
            self._first = await self.writer.services["ledger"].appended("mark", b"the beginning")

        await self._undisturbed(begin)
        self.writer.writes = Writes()
        self.histories.append(self.writer.writes)

    async def strike(self, blow: Blow) -> None:
        """Write, without a pause, and let a blow fall meanwhile."""
        if blow.healed:
            await self.heal()
        over = asyncio.Event()

        async def caller(kind: str, number: int) -> None:
            while not over.is_set():
                if not await self.writer.write(kind, f"{kind}-{len(self.histories)}-{number}"):
                    await asyncio.sleep(PATIENCE)

        callers = [
            asyncio.create_task(caller(kind, number)) for kind in KINDS for number in range(CALLERS)
        ]
        try:
            # Asked for first: what was just acknowledged is not to have any time.
            pids = await self._living(blow)
            if blow.paused:
                await self._acknowledged(blow)
                await self._pause(blow, pids)
            await self._acknowledged(blow)
            await self._hit(blow, pids)
        finally:
            over.set()
            await asyncio.gather(*callers)

    async def heal(self) -> None:
        """Wait until every service runs again, and takes writes.

        Raises:
            NonConformance: one does not in time.
        """
        await self._all_run()
        await self.writer.reconnect()
        for kind in KINDS:
            await until(
                lambda kind=kind: self.writer.write(kind),  # type: ignore[misc]
                bound=HEALS,
                what=f"a write succeeds again: {kind}",
                every=0.01,
            )

    async def settle(self) -> None:
        """End a sequence: let the node heal, append what was not answered again, look for all.

        Raises:
            NonConformance: something was lost, altered or doubled.
        """
        writes = self.writer.writes

        async def look() -> None:
            # Nobody knows which of them the ledger has; those that it acknowledged it has.
            last = list(writes.acknowledged[APPEND])[-ASKED_AGAIN:]
            await self.writer.append_again(writes.indefinite[APPEND] | set(last))
            await self._look(self._first)

        await self._undisturbed(look)

    async def verify(self) -> None:
        """Look for everything that was ever acknowledged, and verify the whole chain.

        From now on the history is that of all sequences together.

        Raises:
            NonConformance: something was lost, altered or doubled.
        """
        await self.heal()
        self.writer.writes = Writes.together(self.histories)

        await self._undisturbed(partial(self._look, None))

    async def end(self) -> None:
        """Hang up, and end the node.

        Raises:
            NonConformance: as `Node.close`.
        """
        for service in self.writer.services.values():
            await service.hang_up()
        await self.node.close()

    async def pids(self) -> dict[str, int]:
        """Return the processes of the services that have one, by name."""
        told = await self.orchestrator.services()
        return {name: told[name].pid for name in NAMES if name in told and told[name].pid}

    async def _look(self, first: Any) -> None:
        writes = self.writer.writes
        writes.look_anew()
        await self.writer.verify(first)
        await writes.look_for_what_nobody_knows(self.writer.services["storage"])
        if writes.problems:
            raise NonConformance(
                what="what was acknowledged",
                expected="there, once, in order, as it was written",
                observed="\n".join(writes.problems[:SHOWN]),
            )

    async def _undisturbed(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something on a node to which nothing happens.

        Once more where a service was replaced meanwhile: one that waits for a CPU for as long as
        `health.timeout` is ended, and then somebody does not answer who has lost nothing.

        Raises:
            NonConformance: it failed on a node that was well all the while, or again and again.
        """
        for tries_left in reversed(range(TRIES)):
            await self.heal()
            before = await self.pids()
            try:
                await work()
            except NonConformance:
                await self.heal()
                if not tries_left or await self.pids() == before:
                    raise
                did("a service was replaced meanwhile: looked once more")
            else:
                return

    async def _all_run(self) -> None:
        seen: dict[str, Any] = {}

        async def well() -> bool:
            seen.update(await self.orchestrator.services())
            for name in NAMES:
                expect(name in seen, equals=True, what=f"whether ListServices tells of {name}")
                if state_of(seen[name]) == "FAILED":
                    raise NonConformance(
                        what=f"state of {name}", expected="RUNNING", observed=shown(seen[name])
                    )
            return all(
                state_of(seen[name]) == "RUNNING" and seen[name].pid != self._victims.get(name, 0)
                for name in NAMES
            )

        await until(
            well,
            bound=HEALS,
            what="every service is RUNNING again",
            every=0.01,
            seen=lambda: "; ".join(shown(one) for one in seen.values()),
        )
        self._victims.clear()

    async def _acknowledged(self, blow: Blow) -> None:
        """Wait until so many writes to each victim are acknowledged, or it takes too long."""
        writes = self.writer.writes
        wanted = {
            kind: len(writes.acknowledged[kind]) + blow.after
            for kind in map(writes_of, blow.victims)
        }
        with suppress(TimeoutError):
            async with asyncio.timeout(BURST):
                while any(len(writes.acknowledged[kind]) < least for kind, least in wanted.items()):
                    self.writer.noted.clear()
                    await self.writer.noted.wait()

    async def _pause(self, blow: Blow, pids: Mapping[str, int]) -> None:
        for pid in pids.values():
            _send(pid, signal.SIGSTOP)
        did(f"stopped {', '.join(pids) or 'nobody'} for {blow.paused:g} s")
        self.blows["SIGSTOP and SIGCONT"] += len(pids)
        await bounds.passed(blow.paused)
        for pid in pids.values():
            _send(pid, signal.SIGCONT)

    async def _hit(self, blow: Blow, pids: Mapping[str, int]) -> None:
        if blow.how == NOTHING:
            return
        if blow.how == RESTART:
            answers = await asyncio.gather(*(self.orchestrator.restart(name) for name in pids))
            # One that the health check ended meanwhile is not restarted once more.
            pids = {
                name: pid
                for (name, pid), answer in zip(pids.items(), answers, strict=True)
                if answer.code == "OK"
            }
        for pid in pids.values():
            if blow.how in SIGNALS:
                _send(pid, SIGNALS[blow.how])
        did(f"{blow.how}: {', '.join(pids) or 'nobody'}")
        self.blows[blow.how] += len(pids)
        self._victims |= pids

    async def _living(self, blow: Blow) -> dict[str, int]:
        """Return the processes of the victims that have one which is to stay."""
        pids = await self.pids()
        return {
            name: pids[name]
            for name in blow.victims
            if name in pids and pids[name] != self._victims.get(name)
        }


def _send(pid: int, number: signal.Signals) -> None:
    # It may have ended by itself, or by the health check.
    with suppress(ProcessLookupError):
        os.kill(pid, number)
