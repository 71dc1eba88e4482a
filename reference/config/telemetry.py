"""Settings of what a process tells of itself: where its metrics are served, and its traces go."""

from dataclasses import dataclass
from pathlib import Path

from blackhole.config.v1.config_pb2 import NodeConfig

from .reading import ConfigError, given, positive_seconds
from .tls import PORTS

MetricsAddress = Path | tuple[str, int]
"""A Unix socket, or a host and a port."""

_UNIX = "unix:"


@dataclass(frozen=True, slots=True)
class Traces:
    """Where traces go; durations in seconds."""

    endpoint: str
    """`host:port` of the collector."""
    ratio: float
    """Part of them that is sampled, 0 to 1."""
    flush_timeout: float


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a process tells of itself besides its log."""

    metrics: MetricsAddress | None
    """Where its metrics are served; None: nowhere."""
    traces: Traces | None
    """None: its calls are not traced."""


def telemetry(config: NodeConfig, name: str) -> Telemetry:
    """Return what a process tells of itself.

    Raises:
        ConfigError: an address is none, or the ratio not from 0 to 1.
    """
    return Telemetry(metrics_address(config, name), _traces(config))


def _traces(config: NodeConfig) -> Traces | None:
    section = config.telemetry
    ratio = float(given(section, "sample_ratio", 1.0))
    if not 0 <= ratio <= 1:  # NaN is not, either
        raise ConfigError(f"telemetry.sample_ratio: {ratio} is not from 0 to 1")
    timeout = positive_seconds(section, "telemetry", "flush_timeout", 5.0)
    if not section.otlp_endpoint:
        return None
    if host_and_port(section.otlp_endpoint) is None:
        raise ConfigError(f"telemetry.otlp_endpoint: {section.otlp_endpoint!r} is no 'host:port'")
    return Traces(section.otlp_endpoint, ratio, timeout)


def metrics_address(config: NodeConfig, name: str) -> MetricsAddress | None:
    """Return where the metrics of a process are served; None: nowhere.

    Raises:
        ConfigError: it is neither `host:port` nor `unix:/path`.
    """
    if name not in config.telemetry.metrics_addresses:
        return None
    address = config.telemetry.metrics_addresses[name]
    if address.startswith(_UNIX):
        path = Path(address.removeprefix(_UNIX))
        if path.is_absolute():
            return path
    elif (found := host_and_port(address)) is not None:
        return found
    raise ConfigError(
        f"telemetry.metrics_addresses.{name}: {address!r} is neither 'host:port' nor 'unix:/path'"
    )


def host_and_port(text: str) -> tuple[str, int] | None:
    """Return host and port of `host:port`; None where it is none."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) not in PORTS:
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)
