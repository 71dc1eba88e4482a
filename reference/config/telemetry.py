"""Settings of what a process tells of itself: where its metrics are served."""

from pathlib import Path

from blackhole.config.v1.config_pb2 import NodeConfig

from .reading import ConfigError

MetricsAddress = Path | tuple[str, int]
"""A Unix socket, or a host and a port."""

_UNIX = "unix:"


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
    else:
        host, _, port = address.rpartition(":")
        if host and port.isascii() and port.isdecimal() and 0 < int(port) <= 65535:  # noqa: PLR2004
            return host.removeprefix("[").removesuffix("]"), int(port)
    raise ConfigError(
        f"telemetry.metrics_addresses.{name}: {address!r} is neither 'host:port' nor 'unix:/path'"
    )
