"""Settings of one service process."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blackhole.config.v1.config_pb2 import NodeConfig

from .auth import auth, rate_limit
from .reading import (
    ConfigError,
    ProcessSettings,
    positive_seconds,
    process_settings,
    read,
    socket_dir,
)
from .sections import Events, Identity, Storage, Store
from .telemetry import telemetry
from .tls import port

if TYPE_CHECKING:
    from .client import Client


@dataclass(frozen=True, slots=True)
class Settings(ProcessSettings):
    """What one service process needs to know; durations in seconds."""

    version: str
    data_dir: Path
    watch_interval: float
    store: Store
    identity: Identity
    events: Events
    storage: Storage
    peers: frozenset[str]
    """Names of the services that this one calls."""
    client: "Client | None"
    """How it calls them; None where it calls nobody."""


def load(file: Path, name: str, version: str = "") -> Settings:
    """Read the settings of one service.

    Args:
        file: NodeConfig in ProtoJSON.
        name: the service.
        version: semantic version that it is started as; overrides the file's.

    Raises:
        ConfigError: the file cannot be read, breaks the schema, or asks for
            something that this implementation does not do.
    """
    config = read(file)
    if name not in config.services:
        raise ConfigError(f"services: there is no entry for {name!r}")
    service = config.services[name]
    return _settings(config, name, version or service.version)


def _settings(config: NodeConfig, name: str, version: str) -> Settings:
    peers = _peers(config, name)
    return Settings(
        **process_settings(config, name, socket_path(config, name, version), port(config, name)),
        auth=auth(config),
        rate_limit=rate_limit(config, name),
        telemetry=telemetry(config, name),
        version=version,
        data_dir=Path(config.data_dir or "/var/lib/blackhole"),
        watch_interval=positive_seconds(config.health, "health", "watch_interval", 5.0),
        store=Store.of(config),
        identity=Identity.of(config),
        events=Events.of(config),
        storage=Storage.of(config),
        peers=peers,
        client=_client(config) if peers else None,
    )


def socket_path(config: NodeConfig, name: str, version: str) -> Path | None:
    """Return the path of a service's socket; None where it listens at its port alone.

    Raises:
        ConfigError: it has no port to listen at alone.
    """
    service = config.services[name]
    if service.disable_unix_socket:
        if not service.HasField("tcp"):
            raise ConfigError(f"services.{name}.disable_unix_socket: needs services.{name}.tcp")
        return None
    file_name = f"{name}@{version}.sock" if version else f"{name}.sock"
    return Path(service.unix_socket or socket_dir(config) / file_name)


def _peers(config: NodeConfig, name: str) -> frozenset[str]:
    """Return the services that one calls: what storage depends on, and where identity publishes."""
    if name == "storage":
        return frozenset(config.services[name].dependencies) & {"identity", "ledger"}
    if name == "identity":
        return frozenset(config.services) & {"events"}
    return frozenset()


def _client(config: NodeConfig) -> "Client":
    # Imported here: who calls nobody starts without it.
    from .client import client  # noqa: PLC0415

    return client(config)
