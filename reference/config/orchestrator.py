"""Settings of the orchestrator, and of the services that it starts."""

import graphlib
import resource
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackhole.config.v1.config_pb2 import NodeConfig

from .auth import auth
from .client import checked_address
from .reading import (
    ConfigError,
    ProcessSettings,
    given,
    positive,
    positive_seconds,
    process_settings,
    read,
    seconds,
    socket_dir,
)
from .service import socket_path
from .telemetry import telemetry
from .tls import TLS, tls

ORCHESTRATOR = "orchestrator"
"""Name of its socket, log and health service."""

LIMITS = {
    "open_files": resource.RLIMIT_NOFILE,
    "address_space_bytes": resource.RLIMIT_AS,
    "cpu_time": resource.RLIMIT_CPU,
    "processes": resource.RLIMIT_NPROC,
}
"""Fields of ResourceLimits, and what the kernel calls them."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service that is started; limits by the kernel's number."""

    name: str
    version: str
    command: tuple[str, ...]
    """To which `--config FILE` is added, and `--version V` where it has one."""
    dependencies: tuple[str, ...]
    unix_socket: Path | None
    """Given by the configuration; None: as discovery has it."""
    listens_at_socket: bool
    tcp_address: str
    """`host:port`; empty when it has none."""
    limits: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often, and how soon, a service is started again; durations in seconds."""

    backoff: float
    max_backoff: float
    max_restarts: int
    reset: float

    def delay(self, restarts: int) -> float:
        """Return the delay before a restart, after so many in a row."""
        return float(min(self.max_backoff, self.backoff * 2.0 ** min(restarts, 64)))


@dataclass(frozen=True, slots=True)
class OrchestratorSettings(ProcessSettings):
    """What the orchestrator needs to know; durations in seconds."""

    config: Path
    socket_dir: Path
    services: tuple[Service, ...]
    """Each after those that it depends on."""
    health_interval: float
    health_timeout: float
    failure_threshold: int
    start_timeout: float
    restarts: Restarts
    orphan_timeout: float
    tls: TLS | None
    """How ports are checked."""


def load(file: Path) -> OrchestratorSettings:
    """Read the settings of the orchestrator, and check those of every service.

    Raises:
        ConfigError: the file cannot be read, breaks the schema, or asks for something that
            cannot be: names the field.
    """
    config = read(file)
    section = config.orchestrator
    directory = socket_dir(config)
    return OrchestratorSettings(
        **process_settings(config, ORCHESTRATOR, directory / f"{ORCHESTRATOR}.sock"),
        auth=auth(config),
        rate_limit=None,
        telemetry=telemetry(config, ORCHESTRATOR),
        config=file.resolve(),
        socket_dir=directory,
        services=_services(config, directory),
        health_interval=positive_seconds(config.health, "health", "interval", 10.0),
        health_timeout=positive_seconds(config.health, "health", "timeout", 5.0),
        failure_threshold=positive(config.health, "health", "failure_threshold", 1),
        start_timeout=positive_seconds(section, ORCHESTRATOR, "start_timeout", 30.0),
        restarts=Restarts(
            backoff=seconds(section, "restart_backoff", 1.0),
            max_backoff=seconds(section, "max_restart_backoff", 60.0),
            max_restarts=int(given(section, "max_restarts", 5)),
            reset=seconds(section, "restart_reset", 60.0),
        ),
        orphan_timeout=positive_seconds(section, ORCHESTRATOR, "orphan_timeout", 5.0),
        tls=tls(config),
    )


def in_order(dependencies: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names of services, each after those that it depends on.

    Raises:
        ConfigError: one depends on a service that is not configured, or on itself in the end.
    """
    for name, others in dependencies.items():
        for other in others:
            if other not in dependencies:
                raise ConfigError(f"services.{name}.dependencies: there is no entry for {other!r}")
    try:
        return list(graphlib.TopologicalSorter(dependencies).static_order())
    except graphlib.CycleError as error:
        circle = list(reversed(error.args[1]))
        raise ConfigError(
            f"services.{circle[0]}.dependencies: a cycle: {' -> '.join(circle)}"
        ) from None


def _services(config: NodeConfig, directory: Path) -> tuple[Service, ...]:
    if not config.services:
        raise ConfigError("services: there is none to start")
    entries = dict(sorted(config.services.items()))
    order = in_order({name: sorted(entry.dependencies) for name, entry in entries.items()})
    services = tuple(_service(config, name) for name in order)
    _refuse_shared(
        (f"services.{one.name}.tcp", one.tcp_address) for one in services if one.tcp_address
    )
    _refuse_shared(
        (f"services.{one.name}.unix_socket", str(one.unix_socket or directory / f"{one.name}.sock"))
        for one in services
        if one.listens_at_socket
    )
    return services


def _service(config: NodeConfig, name: str) -> Service:
    entry = config.services[name]
    if name == ORCHESTRATOR:
        raise ConfigError(f"services: {name!r} is no service name")
    address = checked_address(name, entry)
    return Service(
        name=name,
        version=entry.version,
        command=command_of(name, entry.command),
        dependencies=tuple(sorted(entry.dependencies)),
        unix_socket=Path(entry.unix_socket) if entry.unix_socket else None,
        listens_at_socket=socket_path(config, name, entry.version) is not None,
        tcp_address=address,
        limits=_limits(name, entry.limits),
    )


def command_of(name: str, command: Iterable[str]) -> tuple[str, ...]:
    """Return the command that starts a service; without one, that of this program.

    Raises:
        ConfigError: it cannot be executed.
    """
    given_ = tuple(command)
    if not given_:
        # As this process was started, up to the word that says what it is.
        own = sys.orig_argv[: sys.orig_argv.index(ORCHESTRATOR)]
        return (sys.executable, *own[1:], "service", name)
    if shutil.which(given_[0]) is None:
        raise ConfigError(f"services.{name}.command: {given_[0]!r} cannot be executed")
    return given_


def _limits(name: str, limits: Any) -> dict[int, int]:
    found = {}
    for field, kind in LIMITS.items():
        if not limits.HasField(field):
            continue
        value = getattr(limits, field)
        # Whole seconds is what the kernel counts CPU time in; a part of one is one.
        number = -(-value.ToNanoseconds() // 10**9) if field == "cpu_time" else int(value)
        _, hard = resource.getrlimit(kind)
        if number == 0:
            raise ConfigError(f"services.{name}.limits.{field}: must be above zero")
        if hard != resource.RLIM_INFINITY and number > hard:
            raise ConfigError(
                f"services.{name}.limits.{field}: {number} is above this process's own, {hard}"
            )
        found[kind] = number
    return found


def _refuse_shared(places: Iterable[tuple[str, str]]) -> None:
    taken: dict[str, str] = {}
    for field, place in places:
        if other := taken.get(place):
            raise ConfigError(f"{field}: {place} is {other}'s too")
        taken[place] = field
