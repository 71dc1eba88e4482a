"""The orchestrator under judgement, and the puppets that it is given to run."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from google.protobuf import message_factory
from google.protobuf.message import Message

from blackhole.orchestrator.v1 import orchestrator_pb2 as pb

from .bounds import until
from .calls import Answer, Stream
from .judging import did
from .service import ServedProcess

SERVICE = "blackhole.orchestrator.v1.OrchestratorService"

PUPPET = Path(__file__).with_name("puppet.py")

QUICK: Mapping[str, Any] = {
    "health": {"interval": "0.2s", "timeout": "0.5s", "watch_interval": "0.2s"},
    "orchestrator": {
        "start_timeout": "10s",
        "restart_backoff": "0.05s",
        "max_restart_backoff": "1s",
        "orphan_timeout": "2s",
    },
}
"""Intervals of an orchestrator that is watched by a test."""

SETTLES = 10.0
"""Seconds for processes to come and go; seen: 0.3 for one."""

_METHODS = pb.DESCRIPTOR.services_by_name["OrchestratorService"].methods_by_name


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of a puppet's diary."""

    pid: int
    time: float
    """On the monotonic clock."""


class Puppet:
    """One service that does what a test tells it; see `puppet`.

    Args:
        directory: of the node.
        name: of the service.
    """

    def __init__(self, directory: Path, name: str) -> None:
        """Nothing is started."""
        self.name = name
        self._diary = directory / "puppets" / name

    def __repr__(self) -> str:
        """Show how often it was started."""
        return f"Puppet({self.name!r}, starts={len(self.moments('starts'))})"

    def entry(self, *how: str, **settings: Any) -> dict[str, Any]:
        """Return the entry of the service in the configuration."""
        return {"command": self.command(*how), **settings}

    def command(self, *how: str) -> list[str]:
        """Return the command that starts it, behaving so."""
        return [sys.executable, str(PUPPET), self.name, *how]

    def moments(self, what: str) -> list[Moment]:
        """Return what it noted: `starts`, `serves`, `checks` or `stops`."""
        try:
            lines = (self._diary / what).read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return []
        return [Moment(int(pid), float(time)) for pid, _, time in map(_parted, lines)]

    def say(self, word: str) -> None:
        """Let it say SERVING or NOT_SERVING of its health from now on, or HANG."""
        did(f"told {self.name} to say {word}")
        self._write("say", word)

    def eat(self) -> None:
        """Let it take all the memory that it gets."""
        did(f"told {self.name} to take all the memory that it gets")
        self._write("eat", "all")

    @property
    def stray(self) -> int:
        """PID of the child that it forgot."""
        return int((self._diary / "stray").read_text(encoding="ascii"))

    def _write(self, name: str, text: str) -> None:
        # Renamed into place: never read half.
        part = self._diary / f".{name}"
        part.write_text(text, encoding="ascii")
        part.rename(self._diary / name)


class Orchestrator(ServedProcess):
    """One running orchestrator, and a channel of the suite's to it."""

    NAME = "orchestrator"

    async def call(self, method: str, request: Message, timeout: float = SETTLES) -> Answer:
        """Call a unary method of OrchestratorService by name."""
        response = message_factory.GetMessageClass(_METHODS[method].output_type)
        return await self.channel.unary(f"/{SERVICE}/{method}", request, response, timeout=timeout)

    async def services(self) -> dict[str, Any]:
        """Return what ListServices tells, by name."""
        answer = await self.call("ListServices", pb.ListServicesRequest())
        return {one.name: one for one in self._ok("ListServices", answer).services}

    async def get(self, name: str) -> Any:
        """Return what GetService tells of a service that must be there."""
        answer = await self.call("GetService", pb.GetServiceRequest(name=name))
        return self._ok("GetService", answer).service

    async def restart(self, name: str) -> Answer:
        """Restart a service."""
        return await self.call("RestartService", pb.RestartServiceRequest(name=name))

    async def halt(self, name: str) -> Answer:
        """Stop a service."""
        return await self.call("StopService", pb.StopServiceRequest(name=name))

    async def roll(self, name: str, version: str, command: Sequence[str] = ()) -> Answer:
        """Update a service."""
        request = pb.RollServiceRequest(name=name, version=version, command=command)
        return await self.call("RollService", request, timeout=2 * SETTLES)

    async def watch(self) -> Stream:
        """Follow the services; each message holds one as `service`."""
        return await self.channel.subscribe(
            f"/{SERVICE}/WatchServices", pb.WatchServicesRequest(), pb.WatchServicesResponse
        )

    async def comes_to(self, name: str, state: str, *, but: int = 0, bound: float = SETTLES) -> Any:
        """Wait until a service is in a state, in another process than `but`; return what is told.

        Raises:
            NonConformance: it is not in time.
        """
        wanted = pb.ServiceState.Value(f"SERVICE_STATE_{state}")
        seen: list[Any] = [None]

        async def there() -> bool:
            seen[0] = await self.get(name)
            return bool(seen[0].state == wanted and (not but or seen[0].pid not in (0, but)))

        what = f"{name} is {state}{' in another process' if but else ''}"
        await until(there, bound=bound, what=what, every=0.01, seen=lambda: shown(seen[0]))
        return seen[0]

    async def all_run(self, *names: str, bound: float = SETTLES) -> dict[str, Any]:
        """Wait until services are RUNNING; return what is told, by name."""
        return {name: await self.comes_to(name, "RUNNING", bound=bound) for name in names}


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, whether or not somebody has taken note of it."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def state_of(info: Any) -> str:
    """Return the state of a service in a word."""
    return str(pb.ServiceState.Name(info.state)).removeprefix("SERVICE_STATE_")


def health_of(info: Any) -> str:
    """Return the health of a service in a word."""
    return str(pb.ServiceHealth.Name(info.health)).removeprefix("SERVICE_HEALTH_")


def shown(info: Any) -> str:
    """Return what is told of a service, for a failure."""
    return " ".join(str(info).split())


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(" ")
