"""Settings of the mesh client, and of the driver that is its remote control."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.rpc.code_pb2 import Code
from semver import Version

from blackhole.config.v1.config_pb2 import NodeConfig

from .auth import TokenFile, token_file
from .reading import (
    Compression,
    ConfigError,
    ProcessSettings,
    compression,
    given,
    positive,
    positive_seconds,
    process_settings,
    read,
    seconds,
    socket_dir,
)
from .telemetry import telemetry
from .tls import TLS, bracketed, host_and_port, tls

DRIVER = "driver"
"""Name of the driver's socket, log and health service."""

SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What a service may be called (DISC-8)."""

_FAILURES = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED")


@dataclass(frozen=True, slots=True)
class Registration:
    """A service that the configuration says where to find."""

    name: str
    version: str
    unix_socket: Path | None
    tcp_address: str
    """`host:port`; empty when it has none."""


@dataclass(frozen=True, slots=True)
class Registry:
    """RegistryConfig and HealthConfig as the client needs them; durations in seconds."""

    socket_dir: Path
    rescan_interval: float
    registrations: tuple[Registration, ...]
    metadata: Mapping[str, Mapping[str, str]]
    """By service name."""
    health_interval: float
    health_timeout: float
    failure_threshold: int


@dataclass(frozen=True, slots=True)
class Pool:
    """PoolConfig; durations in seconds."""

    max_conns: int
    max_idle_conns: int
    idle_timeout: float
    keep_alive: float
    connect_timeout: float


@dataclass(frozen=True, slots=True)
class Retry:
    """RetryConfig; durations in seconds."""

    max_attempts: int
    initial_backoff: float
    max_backoff: float
    multiplier: float
    retryable: frozenset[str]
    """Names of status codes."""
    jitter: float


@dataclass(frozen=True, slots=True)
class Circuit:
    """CircuitConfig; durations in seconds."""

    failure_threshold: int
    success_threshold: int
    timeout: float
    half_open_timeout: float
    failures: frozenset[str]
    """Names of status codes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """BatchConfig; the wait in seconds."""

    max_size: int
    max_wait: float


@dataclass(frozen=True, slots=True)
class Client:
    """What the mesh client needs to know; durations in seconds."""

    default_timeout: float
    max_message_bytes: int
    registry: Registry
    pool: Pool
    retry: Retry
    circuit: Circuit
    batch: Batch
    compression: Compression
    tls: TLS | None
    """How ports are called; None: in plaintext."""
    token_file: TokenFile | None
    """Where the token of every call is; None: calls bear none."""


@dataclass(frozen=True, slots=True)
class DriverSettings(ProcessSettings):
    """What the driver needs to know."""

    client: Client


def load(file: Path) -> DriverSettings:
    """Read the settings of the driver.

    Raises:
        ConfigError: the file cannot be read, breaks the schema, or asks for
            something that this implementation does not do.
    """
    config = read(file)
    process = process_settings(config, DRIVER, socket_dir(config) / f"{DRIVER}.sock")
    # Whoever can reach the driver's socket may use it: it has no callers but its own user's.
    return DriverSettings(
        **process,
        auth=None,
        rate_limit=None,
        telemetry=telemetry(config, DRIVER),
        client=client(config),
    )


def client(config: NodeConfig) -> Client:
    """Return the settings of the mesh client.

    Raises:
        ConfigError: names the field that cannot be used.
    """
    return Client(
        default_timeout=positive_seconds(config, "", "default_timeout", 30.0),
        max_message_bytes=positive(config.limits, "limits", "max_message_bytes", 50 << 20),
        registry=_registry(config),
        pool=_pool(config.pool),
        retry=_retry(config.retry),
        circuit=_circuit(config.circuit),
        batch=Batch(
            max_size=positive(config.batch, "batch", "max_size", 100),
            max_wait=seconds(config.batch, "max_wait", 0.01),
        ),
        compression=compression(config),
        tls=tls(config),
        token_file=token_file(config),
    )


def _registry(config: NodeConfig) -> Registry:
    return Registry(
        socket_dir=socket_dir(config),
        rescan_interval=positive_seconds(config.registry, "registry", "rescan_interval", 1.0),
        registrations=tuple(_registrations(config)),
        metadata={name: dict(entry.metadata) for name, entry in config.services.items()},
        health_interval=positive_seconds(config.health, "health", "interval", 10.0),
        health_timeout=positive_seconds(config.health, "health", "timeout", 5.0),
        failure_threshold=positive(config.health, "health", "failure_threshold", 1),
    )


def _registrations(config: NodeConfig) -> list[Registration]:
    found = []
    for name, entry in sorted(config.services.items()):
        tcp = checked_address(name, entry)
        if not entry.unix_socket and not tcp:
            continue
        socket = Path(entry.unix_socket) if entry.unix_socket else None
        found.append(Registration(name, entry.version, socket, tcp))
    return found


def checked_address(name: str, entry: Any) -> str:
    """Check a service's entry; return its `host:port`, empty when it has none.

    Raises:
        ConfigError: its name, version or port cannot be.
    """
    if not SERVICE_NAME.fullmatch(name):
        raise ConfigError(f"services: {name!r} is no service name")
    if entry.version and not Version.is_valid(entry.version):
        raise ConfigError(f"services.{name}.version: {entry.version!r} is no semantic version")
    if not entry.HasField("tcp"):
        return ""
    host, port = host_and_port(name, entry.tcp)
    return f"{bracketed(host)}:{port}"


def _pool(config: Any) -> Pool:
    return Pool(
        max_conns=positive(config, "pool", "max_conns", 1),
        max_idle_conns=given(config, "max_idle_conns", 16),
        idle_timeout=seconds(config, "idle_timeout", 300.0),
        keep_alive=positive_seconds(config, "pool", "keep_alive", 30.0),
        connect_timeout=positive_seconds(config, "pool", "connect_timeout", 5.0),
    )


def _retry(config: Any) -> Retry:
    multiplier = given(config, "backoff_multiplier", 2.0)
    if not multiplier >= 1:
        raise ConfigError("retry.backoff_multiplier: must be at least 1")
    jitter = given(config, "jitter", 0.0)
    if not 0 <= jitter <= 1:
        raise ConfigError("retry.jitter: must be 0 to 1")
    return Retry(
        max_attempts=positive(config, "retry", "max_attempts", 3),
        initial_backoff=seconds(config, "initial_backoff", 0.1),
        max_backoff=seconds(config, "max_backoff", 5.0),
        multiplier=multiplier,
        retryable=_codes(config.retryable_codes, "retry.retryable_codes", ("UNAVAILABLE",)),
        jitter=jitter,
    )


def _circuit(config: Any) -> Circuit:
    return Circuit(
        failure_threshold=positive(config, "circuit", "failure_threshold", 5),
        success_threshold=positive(config, "circuit", "success_threshold", 2),
        timeout=positive_seconds(config, "circuit", "timeout", 10.0),
        half_open_timeout=seconds(config, "half_open_timeout", 30.0),
        failures=_codes(config.failure_codes, "circuit.failure_codes", _FAILURES),
    )


def _codes(numbers: Any, field: str, default: tuple[str, ...]) -> frozenset[str]:
    for number in numbers:
        if number not in Code.values() or number == Code.OK:
            raise ConfigError(f"{field}: {number} is no code of an error")
    return frozenset(Code.Name(number) for number in numbers) or frozenset(default)
