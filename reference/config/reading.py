"""NodeConfig as read from FILE, and words to check its fields with.

Defaults, units and meaning of every field stand in `config.proto`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from blackhole.config.v1.config_pb2 import LogLevel, NodeConfig

if TYPE_CHECKING:  # they read with the words below
    from .auth import Auth, RateLimit
    from .telemetry import Telemetry
    from .tls import Port


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the field."""


@dataclass(frozen=True, slots=True)
class Limits:
    """LimitsConfig, in bytes."""

    message: int
    metadata: int


@dataclass(frozen=True, slots=True)
class Compression:
    """CompressionConfig."""

    enabled: bool
    """Of requests; answers are always compressed for those who accept it."""
    min_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What every process that serves needs to know; durations in seconds."""

    name: str
    socket: Path | None
    """None: it listens on its port alone."""
    socket_group: str
    port: "Port | None"
    """None: it listens on its socket alone."""
    grace_period: float
    log_level: str
    telemetry: "Telemetry"
    limits: Limits
    compression: Compression
    auth: "Auth | None"
    """Whose calls are taken; None: everybody's."""
    rate_limit: "RateLimit | None"
    """How many calls are taken; None: all."""


def read(file: Path) -> NodeConfig:
    """Read a configuration.

    Raises:
        ConfigError: the file cannot be read, breaks the schema, or has a duration below zero.
    """
    try:
        text = file.read_text(encoding="utf-8")
        config = json_format.Parse(text, NodeConfig())
    except OSError as error:
        raise ConfigError(error.strerror or str(error)) from error
    except (UnicodeDecodeError, json_format.ParseError) as error:
        raise ConfigError(str(error)) from error
    refuse_negative_durations(config)
    return config


def refuse_negative_durations(config: NodeConfig) -> None:
    """Find durations below zero, wherever they stand.

    Raises:
        ConfigError: names the field by its path.
    """
    for path, duration in _durations(config):
        if duration.ToNanoseconds() < 0:
            raise ConfigError(f"{path}: {duration.ToJsonString()} is below zero")


def process_settings(
    config: NodeConfig, name: str, socket: Path | None, port: "Port | None" = None
) -> dict[str, Any]:
    """Return the fields of `ProcessSettings` for one process."""
    return {
        "name": name,
        "socket": socket,
        "socket_group": config.socket_group,
        "port": port,
        "grace_period": seconds(config, "grace_period", 5.0),
        "log_level": _log_level(config),
        "limits": Limits(
            message=positive(config.limits, "limits", "max_message_bytes", 50 * 1024 * 1024),
            metadata=positive(config.limits, "limits", "max_metadata_bytes", 8192),
        ),
        "compression": compression(config),
    }


def compression(config: NodeConfig) -> Compression:
    """Return how messages are compressed."""
    return Compression(
        enabled=config.compression.enabled,
        min_bytes=given(config.compression, "min_bytes", 1024),
    )


def socket_dir(config: NodeConfig) -> Path:
    """Return the directory of the sockets."""
    return Path(config.socket_dir or "/var/run/blackhole")


def given(message: Any, field: str, default: Any) -> Any:
    """Return a field, or the default when it is left out."""
    return getattr(message, field) if message.HasField(field) else default


def seconds(message: Any, field: str, default: float) -> float:
    """Return a duration in seconds."""
    if not message.HasField(field):
        return default
    return float(getattr(message, field).ToNanoseconds() / 1e9)


def positive_seconds(message: Any, prefix: str, field: str, default: float) -> float:
    """Return a duration in seconds.

    Raises:
        ConfigError: it is zero.
    """
    value = seconds(message, field, default)
    if value == 0 or not math.isfinite(value):
        name = f"{prefix}.{field}".lstrip(".")
        raise ConfigError(f"{name}: must be above zero")
    return value


def positive(message: Any, prefix: str, field: str, default: int) -> int:
    """Return a count.

    Raises:
        ConfigError: it is zero.
    """
    if not message.HasField(field):
        return default
    if (value := int(getattr(message, field))) == 0:
        raise ConfigError(f"{prefix}.{field}: must be at least 1")
    return value


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


def _log_level(config: NodeConfig) -> str:
    if config.telemetry.log_level not in LogLevel.values():
        raise ConfigError(f"telemetry.log_level: there is no level {config.telemetry.log_level}")
    level = config.telemetry.log_level or LogLevel.LOG_LEVEL_INFO
    return LogLevel.Name(level).removeprefix("LOG_LEVEL_").lower()
