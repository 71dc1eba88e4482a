"""A node of actors under the orchestrator: in this process, or one that can be killed."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reference.config.orchestrator import load
from reference.orchestrator.checks import Checks
from reference.orchestrator.keeping import Keeping
from reference.orchestrator.lifecycle import State
from reference.orchestrator.supervisor import Supervisor
from reference.orchestrator.unit import Unit

from .mesh_place import eventually
from .serving import SOON, Node, accepts

ACTOR = Path(__file__).with_name("actor.py")

QUICK: dict[str, Any] = {
    "grace_period": "5s",
    "health": {"interval": "0.05s", "timeout": "5s"},
    "orchestrator": {
        "start_timeout": "20s",
        "restart_backoff": "0.01s",
        "max_restart_backoff": "0.02s",
        "max_restarts": 2,
        "orphan_timeout": "1s",
    },
}
"""Nothing is waited for that need not be; what must not be missed on a busy host is long."""


@dataclass
class Orchestra(Node):
    """A node whose services are actors."""

    def tell(self, name: str, *words: str) -> None:
        """Let an actor behave so, from its next start or check on."""
        part = self.root / ".how"
        part.write_text(" ".join(words))
        part.rename(self.root / f"{name}.how")

    def noted(self, what: str) -> list[tuple[str, int]]:
        """Return who noted something in the diary, in order, and a PID."""
        with suppress(FileNotFoundError):
            lines = [line.split() for line in (self.root / "diary").read_text().splitlines()]
            return [(label, int(pid)) for label, noted, pid in lines if noted == what]
        return []

    def started(self, label: str) -> list[int]:
        """Return the PIDs of all starts of an actor."""
        return [pid for name, pid in self.noted("starts") if name == label]

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[Supervisor]:
        """Run the services in this process; they are stopped at the end."""
        settings = load(self.file)
        settings.socket_dir.mkdir(exist_ok=True)
        keeping = await Keeping.begin(settings.orphan_timeout)
        supervisor = Supervisor(settings, keeping)
        try:
            await supervisor.start()
            yield supervisor
        finally:
            async with asyncio.timeout(SOON):
                await supervisor.stop()
                await keeping.end()
        left = [pid for what in ("starts", "strays") for _, pid in self.noted(what) if alive(pid)]
        assert not left
        assert not list(settings.socket_dir.iterdir())

    def units(self) -> list[Unit]:
        """Return the services, of which nobody starts any."""
        settings = replace(load(self.file), tls=None)
        checks, keeping = Checks(settings), Keeping(settings.orphan_timeout)
        return [Unit(one, settings, checks, keeping, lambda _: None) for one in settings.services]

    @asynccontextmanager
    async def orchestrated(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the orchestrator as a process, until it accepts; it is killed at the end."""
        command = (sys.executable, "-m", "reference", "orchestrator", "--config", str(self.file))
        with (self.root / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, stderr=log)
        try:
            await accepts(self.socket("orchestrator"), process)
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
            await eventually(lambda: not any(alive(pid) for _, pid in self.noted("starts")))


@contextmanager
def orchestra(**services: Any) -> Iterator[Orchestra]:
    """Give a node of actors; its path is short, as in `serving.short_node`.

    Args:
        services: entries by name; a list stands for dependencies alone.
    """
    root = Path(tempfile.mkdtemp(prefix="bh"))
    entries = {
        name: {"command": [sys.executable, str(ACTOR), name]}
        | (entry if isinstance(entry, dict) else {"dependencies": entry})
        for name, entry in services.items()
    }
    try:
        yield Orchestra(root, {**QUICK, "services": entries})
    finally:
        shutil.rmtree(root)


async def come_to(supervisor: Supervisor, state: State, *names: str) -> None:
    """Wait until services are in a state."""
    async with asyncio.timeout(SOON):
        for name in names:
            await supervisor.unit(name).comes_to(state)


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to one process."""
    os.kill(pid, number)
