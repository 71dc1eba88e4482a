"""A node of the suite: private directories, a configuration, and the processes that use them."""

import itertools
import json
import shutil
import socket
import stat
import struct
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf import json_format

from blackhole.config.v1.config_pb2 import NodeConfig

from . import bounds
from .addresses import Address, UnixAddress
from .driver import Driver
from .identity import Identity
from .implementation import Implementation
from .judging import NonConformance, attach, did, untestable
from .orchestrator import QUICK, Orchestrator
from .peer import Peer
from .processes import Exit, Process, Streams, of_directory, outliving, spawn
from .remote import Remote, Settings
from .service import ServedProcess, seconds

if TYPE_CHECKING:
    from .calls import Metadata

S = TypeVar("S", bound=ServedProcess)

LONGEST_SOCKET = 107
"""Bytes of a socket's path at most: sun_path less its final NUL."""

_TEST_SETTINGS: Mapping[str, Any] = {
    "grace_period": "5s",
    "health": {"watch_interval": "0.2s"},
    "identity": {"resolver_base_uri": "blackhole://suite.test/v1/identity/dids"},
}
"""What the suite configures besides the directories, for speed and to be recognised."""


class Node:
    """Directories of its own, one configuration, and what was started with it.

    Args:
        implementation: what is started.
        workdir: where its directories are made.
        start_timeout: seconds for a process to become ready.
        transport: how the suite calls its services: `unix`, or `tcp`, at which they listen too.
    """

    def __init__(
        self,
        implementation: Implementation,
        workdir: Path,
        start_timeout: float,
        transport: str = "unix",
    ) -> None:
        """Make the directories; nothing is started."""
        self.implementation = implementation
        self.transport = transport
        self.start_timeout = start_timeout
        # The shortest of names, because sockets live below it.
        self.directory = Path(tempfile.mkdtemp(prefix="bh", dir=workdir))
        self.logs = self.directory / "logs"
        self.logs.mkdir()
        self.socket_dir = self.directory / "s"
        self.data_dir = self.directory / "data"
        self.remotes: dict[str, Remote] = {}
        """Ports of the services that listen at one, by name."""
        self.metadata: Metadata = ()
        """Custom metadata of the suite's calls to what is started from now on: its token, say."""
        self.processes: list[Process] = []
        self.services: list[ServedProcess] = []
        self.peers: list[Peer] = []
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        """Show where it lives and what runs."""
        return f"Node({str(self.directory)!r}, {self.processes})"

    def socket(self, name: str = "identity") -> Path:
        """Return the path of a service's socket."""
        return self.socket_dir / f"{name}.sock"

    @property
    def remote(self) -> Remote | None:
        """Port of the identity service; None where it listens at none."""
        return self._remote("identity") if self.transport == "tcp" else None

    def settings(
        self, changes: Settings | None = None, *, services: Sequence[str] = ("identity",)
    ) -> dict[str, Any]:
        """Return the configuration as ProtoJSON, with changes merged in, field by field.

        Args:
            changes: to the usual settings.
            services: those that have an entry, and a port where that is the transport.
        """
        base = {"socket_dir": str(self.socket_dir), "data_dir": str(self.data_dir)}
        settings = _merged(base, _TEST_SETTINGS)
        for name in services:
            settings = _merged(settings, {"services": {name: {}}})
            if self.transport == "tcp":
                settings = _merged(settings, self._remote(name).settings(name))
        return _merged(settings, changes or {})

    def _remote(self, name: str) -> Remote:
        if name not in self.remotes:
            # One node, one certificate.
            beside = next(iter(self.remotes.values()), None)
            self.remotes[name] = Remote(self.directory / "tls", beside)
        return self.remotes[name]

    def write(self, settings: Settings) -> Path:
        """Write a configuration file that obeys the schema."""
        json_format.ParseDict(dict(settings), NodeConfig())
        return self.write_unchecked(settings)

    def write_unchecked(self, settings: Settings | str) -> Path:
        """Write a configuration file: settings as JSON, or a text as it is."""
        file = self.directory / f"config{next(self._numbers)}.json"
        file.write_text(
            settings if isinstance(settings, str) else json.dumps(settings), encoding="utf-8"
        )
        return file

    def run(
        self,
        *arguments: str,
        umask: int = 0o022,
        streams: Streams | None = None,
        wrapper: Sequence[str] = (),
    ) -> Process:
        """Start the implementation with arguments, and wait for nothing."""
        name = f"{next(self._numbers)}-{'-'.join(arguments[:2])}"
        process = spawn(
            self.implementation,
            arguments,
            name=name,
            logs=self.logs,
            umask=umask,
            streams=streams,
            wrapper=wrapper,
        )
        self.processes.append(process)
        attach(f"{name}.txt", process.story)
        return process

    def begin(self, changes: Settings | None = None, **how: Any) -> Identity:
        """Start the identity service with settings changed, and wait for nothing."""
        return self.launch(Identity, self.settings(changes), **how)

    def launch(self, kind: type[S], settings: Settings, **how: Any) -> S:
        """Start a service with settings, and wait for nothing."""
        name = kind.NAME
        process = self.run("service", name, "--config", str(self.write(settings)), **how)
        path = Path(settings["socket_dir"]) / f"{name}.sock"
        remote = self.remotes.get(name)
        address: Address = remote.address() if remote else UnixAddress(path)
        service = kind(path, process, seconds(settings["grace_period"]), address, self.metadata)
        self.services.append(service)
        return service

    async def start(self, changes: Settings | None = None, **how: Any) -> Identity:
        """Start the identity service with settings changed, and wait until it is ready.

        Raises:
            NonConformance: it ended or did not become ready in time; holds the exact command,
                its exit status and the end of what it printed.
        """
        return await self.serve(Identity, changes, **how)

    async def serve(
        self,
        kind: type[S],
        changes: Settings | None = None,
        *,
        beside: Sequence[str] = (),
        **how: Any,
    ) -> S:
        """Start a service with settings changed, and wait until it is ready.

        Args:
            kind: which.
            changes: to the usual settings.
            beside: other services that the configuration has an entry of.
            how: as `run` takes it.

        Raises:
            NonConformance: as `start`.
        """
        settings = self.settings(changes, services=(kind.NAME, *beside))
        service = self.launch(kind, settings, **how)
        await service.ready(self.start_timeout)
        return service

    def begin_driver(self, changes: Settings | None = None, **how: Any) -> Driver:
        """Start the driver with settings changed, and wait for nothing."""
        settings = self.settings(changes, services=())
        process = self.run("driver", "--config", str(self.write(settings)), **how)
        driver = Driver(
            path=Path(settings["socket_dir"]) / "driver.sock",
            process=process,
            grace=seconds(settings["grace_period"]),
            settings=settings,
        )
        self.services.append(driver)
        return driver

    async def drive(self, changes: Settings | None = None, **how: Any) -> Driver:
        """Start the driver with settings changed, and wait until it is ready.

        Raises:
            NonConformance: as `start`.
        """
        driver = self.begin_driver(changes, **how)
        await driver.ready(self.start_timeout)
        return driver

    def begin_orchestrator(
        self, changes: Settings | None = None, *, services: Sequence[str] = (), **how: Any
    ) -> Orchestrator:
        """Start the orchestrator with settings changed, and wait for nothing.

        Args:
            changes: to the usual settings.
            services: those that have an entry besides, with a port where that is the transport.
            how: as `run` takes it.
        """
        settings = self.settings(_merged(QUICK, changes or {}), services=services)
        process = self.run("orchestrator", "--config", str(self.write(settings)), **how)
        path = Path(settings["socket_dir"]) / "orchestrator.sock"
        orchestrator = Orchestrator(
            path, process, seconds(settings["grace_period"]), metadata=self.metadata
        )
        self.services.append(orchestrator)
        return orchestrator

    async def orchestrate(self, changes: Settings | None = None, **how: Any) -> Orchestrator:
        """Start the orchestrator with settings changed, and wait until all services run.

        Raises:
            NonConformance: as `start`.
        """
        orchestrator = self.begin_orchestrator(changes, **how)
        await orchestrator.ready(self.start_timeout)
        return orchestrator

    async def peer(
        self, name: str, version: str = "", *, at: Path | int | None = None, **how: Any
    ) -> Peer:
        """Open a peer where discovery finds it by name and version, until the node closes.

        Args:
            name: of the service that it plays.
            version: as in the name of its socket; empty: unversioned.
            at: another path, or a port (0 chooses one), for a service that is registered.
            how: as Peer takes it.
        """
        label = f"{name}@{version}" if version else name
        if at is None:
            self.socket_dir.mkdir(mode=0o700, exist_ok=True)
            at = self.socket(label)
        peer = Peer(at, name=label, **how)
        await peer.open()
        self.peers.append(peer)
        return peer

    async def refused(self, *arguments: str, **how: Any) -> Exit:
        """Run the implementation with arguments that it must refuse; `how` is as `run` takes it.

        Raises:
            NonConformance: it did not end in time, or with status 0.
        """
        process = self.run(*arguments, **how)
        ended = await process.ended(bounds.START_ERROR)
        if ended.status == 0:
            raise NonConformance(
                what="exit status of a start that must fail", expected="not 0", observed="0"
            )
        return ended

    async def refuses(self, changes: Settings | None = None) -> Exit:
        """Start the identity service, with settings changed, where it must refuse to start."""
        config = self.write(self.settings(changes))
        return await self.refused("service", "identity", "--config", str(config))

    async def close(self) -> None:
        """End whatever still runs, check that it ended well, and remove everything.

        Raises:
            NonConformance: a process ignored SIGTERM, or left processes or its socket behind.
        """
        problems: list[NonConformance] = []
        async with AsyncExitStack() as rest:
            # Whatever comes between, nothing of the node stays.
            rest.callback(shutil.rmtree, self.directory)
            for remote in self.remotes.values():
                rest.callback(remote.close)
            for peer in self.peers:
                rest.push_async_callback(peer.close)
            for service in self.services:
                await service.hang_up()
            for process in self.processes:
                problems += await self._ended(process)
            if any(isinstance(service, Orchestrator) for service in self.services):
                # Nobody else ends what an orchestrator forgot that was killed.
                forgotten = await outliving(of_directory(self.directory))
                problems += _left_behind("an orchestrator", forgotten)
        if problems:
            raise problems[0]

    async def _ended(self, process: Process) -> list[NonConformance]:
        """End a process if it still runs; return what was wrong with its end."""
        problems = []
        family = process.family()
        try:
            await process.end(bounds.DEADLINE)
        except NonConformance as problem:
            problems.append(problem)
        problems += _left_behind(process.name, await outliving(family))
        attach(f"{process.name}.txt", process.story())
        return problems

    def gone(self) -> None:
        """Rename `data_dir` away: every store of the node is gone.

        Raises:
            Untestable: there is nothing to rename; the service keeps its store elsewhere.
        """
        if not self.data_dir.is_dir():
            untestable("the service keeps nothing below data_dir")
        did("renamed data_dir away")
        self.data_dir.rename(self.data_dir.with_name("away"))

    def back(self) -> None:
        """Rename `data_dir` back."""
        did("renamed data_dir back")
        self.data_dir.with_name("away").rename(self.data_dir)

    def leftovers(self) -> list[str]:
        """Return the names of all files in `socket_dir`."""
        if not self.socket_dir.is_dir():
            return []
        return sorted(file.name for file in self.socket_dir.iterdir())


def identity_of_file(path: Path) -> tuple[str, int, int] | None:
    """Return kind, device and inode of what is at a path, None when nothing is."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return stat.filemode(found.st_mode)[0], found.st_dev, found.st_ino


def _left_behind(who: str, processes: Sequence[str]) -> list[NonConformance]:
    return [
        NonConformance(what=f"processes left behind by {who}", expected="none", observed=one)
        for one in processes
    ]


def peer_credentials(path: Path) -> tuple[int, int]:
    """Connect to a Unix socket, and return PID and user ID of the process behind it.

    Raises:
        NonConformance: nobody accepts.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(bounds.PROMPT)
        try:
            connection.connect(str(path))
        except OSError as error:
            raise NonConformance(
                what=f"a connection to {path}", expected="accepted", observed=str(error)
            ) from None
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, user, _ = struct.unpack("3i", raw)
    return pid, user


def _merged(base: Settings, changes: Settings) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = _merged(merged[name], value)
        else:
            merged[name] = value
    return merged
