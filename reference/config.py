"""NodeConfig as read from FILE, checked whole before anything is started.

Defaults, units and meaning of every field stand in `config.proto`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from blackhole.config.v1.config_pb2 import LogLevel, NodeConfig


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the field."""


@dataclass(frozen=True, slots=True)
class Limits:
    """LimitsConfig, in bytes."""

    message: int
    metadata: int


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
class Settings:
    """What one service process needs to know; durations in seconds."""

    name: str
    version: str
    socket: Path
    socket_group: str
    data_dir: Path
    grace_period: float
    watch_interval: float
    log_level: str
    limits: Limits
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
    try:
        text = file.read_text(encoding="utf-8")
        config = json_format.Parse(text, NodeConfig())
    except OSError as error:
        raise ConfigError(error.strerror or str(error)) from error
    except (UnicodeDecodeError, json_format.ParseError) as error:
        raise ConfigError(str(error)) from error
    if name not in config.services:
        raise ConfigError(f"services: there is no entry for {name!r}")
    refuse_negative_durations(config)
    refuse_unsupported(config, name)
    return _settings(config, name, version)


def refuse_negative_durations(config: NodeConfig) -> None:
    """Find durations below zero, wherever they stand.

    Raises:
        ConfigError: names the field by its path.
    """
    for path, duration in _durations(config):
        if duration.ToNanoseconds() < 0:
            raise ConfigError(f"{path}: {duration.ToJsonString()} is below zero")


def refuse_unsupported(config: NodeConfig, name: str) -> None:
    """Find settings that this implementation would ignore.

    Raises:
        ConfigError: names the first such field.
    """
    service = config.services[name]
    asked = {
        f"services.{name}.tcp": service.HasField("tcp"),
        f"services.{name}.disable_unix_socket": service.disable_unix_socket,
        f"services.{name}.rate_limit": service.HasField("rate_limit"),
        "auth": config.HasField("auth"),
        f"telemetry.metrics_addresses.{name}": name in config.telemetry.metrics_addresses,
        "telemetry.otlp_endpoint": bool(config.telemetry.otlp_endpoint),
    }
    for field, present in asked.items():
        if present:
            raise ConfigError(f"{field}: not supported by this implementation yet")


def _settings(config: NodeConfig, name: str, version: str) -> Settings:
    service = config.services[name]
    version = version or service.version
    file_name = f"{name}@{version}.sock" if version else f"{name}.sock"
    socket_dir = Path(config.socket_dir or "/var/run/blackhole")
    return Settings(
        name=name,
        version=version,
        socket=Path(service.unix_socket or socket_dir / file_name),
        socket_group=config.socket_group,
        data_dir=Path(config.data_dir or "/var/lib/blackhole"),
        grace_period=_seconds(config, "grace_period", 5.0),
        watch_interval=_positive_seconds(config.health, "health", "watch_interval", 5.0),
        log_level=_log_level(config),
        limits=Limits(
            message=_positive(config.limits, "limits", "max_message_bytes", 50 * 1024 * 1024),
            metadata=_positive(config.limits, "limits", "max_metadata_bytes", 8192),
        ),
        store=Store(
            max_batch_size=_positive(config.store, "store", "max_batch_size", 256),
            max_batch_wait=_seconds(config.store, "max_batch_wait", 0.0),
        ),
        identity=Identity(
            max_batch_items=_positive(config.identity, "identity", "max_batch_items", 1000),
            event_buffer=_positive(config.identity, "identity", "event_buffer", 1000),
            max_subscribers=_positive(config.identity, "identity", "max_subscribers", 10000),
            resolver_base_uri=_resolver(config),
        ),
    )


def _durations(message: Message, prefix: str = "") -> Iterator[tuple[str, Duration]]:
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        if isinstance(value, Duration):
            yield path, value
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key in value:
                if isinstance(value[key], Message):
                    yield from _durations(value[key], f"{path}.{key}.")
        elif isinstance(value, Message):
            yield from _durations(value, f"{path}.")


def _seconds(message: Any, field: str, default: float) -> float:
    if not message.HasField(field):
        return default
    return float(getattr(message, field).ToNanoseconds() / 1e9)


def _positive_seconds(message: Any, prefix: str, field: str, default: float) -> float:
    value = _seconds(message, field, default)
    if value == 0 or not math.isfinite(value):
        raise ConfigError(f"{prefix}.{field}: must be above zero")
    return value


def _positive(message: Any, prefix: str, field: str, default: int) -> int:
    if not message.HasField(field):
        return default
    if (value := int(getattr(message, field))) == 0:
        raise ConfigError(f"{prefix}.{field}: must be at least 1")
    return value


def _log_level(config: NodeConfig) -> str:
    if config.telemetry.log_level not in LogLevel.values():
        raise ConfigError(f"telemetry.log_level: there is no level {config.telemetry.log_level}")
    level = config.telemetry.log_level or LogLevel.LOG_LEVEL_INFO
    return LogLevel.Name(level).removeprefix("LOG_LEVEL_").lower()


def _resolver(config: NodeConfig) -> str:
    uri = config.identity.resolver_base_uri or "blackhole://identity/v1/identity/dids"
    try:
        absolute = urlsplit(uri).scheme != ""
    except ValueError:
        absolute = False
    if not absolute:
        raise ConfigError(f"identity.resolver_base_uri: {uri!r} is not an absolute URI")
    return uri.rstrip("/")
