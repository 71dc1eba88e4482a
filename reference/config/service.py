"""Settings of one service process."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from blackhole.config.v1.config_pb2 import NodeConfig

from .auth import auth, rate_limit
from .reading import (
    ConfigError,
    ProcessSettings,
    positive,
    positive_seconds,
    process_settings,
    read,
    refuse_unsupported,
    seconds,
    socket_dir,
)
from .tls import port


@dataclass(frozen=True, slots=True)
class Store:
    """StoreConfig; the wait in seconds."""

    max_batch_size: int
    max_batch_wait: float


@dataclass(frozen=True, slots=True)
class Identity:
    """IdentityConfig."""

    max_batch_items: int
    event_buffer: int
    max_subscribers: int
    resolver_base_uri: str


@dataclass(frozen=True, slots=True)
class Settings(ProcessSettings):
    """What one service process needs to know; durations in seconds."""

    version: str
    data_dir: Path
    watch_interval: float
    store: Store
    identity: Identity


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
    refuse_unsupported(
        (
            (
                f"telemetry.metrics_addresses.{name}",
                name in config.telemetry.metrics_addresses,
            ),
            ("telemetry.otlp_endpoint", bool(config.telemetry.otlp_endpoint)),
        )
    )
    return _settings(config, name, version or service.version)


def _settings(config: NodeConfig, name: str, version: str) -> Settings:
    return Settings(
        **process_settings(config, name, _socket(config, name, version), port(config, name)),
        auth=auth(config),
        rate_limit=rate_limit(config, name),
        version=version,
        data_dir=Path(config.data_dir or "/var/lib/blackhole"),
        watch_interval=positive_seconds(config.health, "health", "watch_interval", 5.0),
        store=Store(
            max_batch_size=positive(config.store, "store", "max_batch_size", 256),
            max_batch_wait=seconds(config.store, "max_batch_wait", 0.0),
        ),
        identity=Identity(
            max_batch_items=positive(config.identity, "identity", "max_batch_items", 1000),
            event_buffer=positive(config.identity, "identity", "event_buffer", 1000),
            max_subscribers=positive(config.identity, "identity", "max_subscribers", 10000),
            resolver_base_uri=_resolver(config),
        ),
    )


def _socket(config: NodeConfig, name: str, version: str) -> Path | None:
    service = config.services[name]
    if service.disable_unix_socket:
        if not service.HasField("tcp"):
            raise ConfigError(f"services.{name}.disable_unix_socket: needs services.{name}.tcp")
        return None
    file_name = f"{name}@{version}.sock" if version else f"{name}.sock"
    return Path(service.unix_socket or socket_dir(config) / file_name)


def _resolver(config: NodeConfig) -> str:
    uri = config.identity.resolver_base_uri or "blackhole://identity/v1/identity/dids"
    try:
        absolute = urlsplit(uri).scheme != ""
    except ValueError:
        absolute = False
    if not absolute:
        raise ConfigError(f"identity.resolver_base_uri: {uri!r} is not an absolute URI")
    return uri.rstrip("/")
