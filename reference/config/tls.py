"""Settings of TLS, and of the ports that are reached by it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackhole.config.v1.config_pb2 import NodeConfig

from .reading import ConfigError, positive_seconds, seconds

PORTS = range(1, 1 << 16)

HANDSHAKE_TIMEOUT = 10.0
"""Seconds from a connection to its first words of HTTP/2: twice what a client waits by default."""

_FILES = ("cert_file", "key_file", "ca_file")


@dataclass(frozen=True, slots=True)
class TLS:
    """TLSConfig; times in seconds."""

    cert_file: Path
    key_file: Path
    ca_file: Path
    server_name: str
    """Empty: the host that is called."""
    reload_interval: float
    handshake_timeout: float


@dataclass(frozen=True, slots=True)
class Port:
    """Where a service listens by TLS."""

    service: str
    host: str
    port: int
    tls: TLS

    @property
    def field(self) -> str:
        """The field of the configuration that it stands in."""
        return f"services.{self.service}.tcp"

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{bracketed(self.host)}:{self.port}"


def tls(config: NodeConfig) -> TLS | None:
    """Return how TLS is spoken; None where it is not configured.

    Raises:
        ConfigError: names the file that is left out.
    """
    if not config.HasField("tls"):
        return None
    for field in _FILES:
        if not getattr(config.tls, field):
            raise ConfigError(f"tls.{field}: must be given")
    return TLS(
        **{field: Path(getattr(config.tls, field)) for field in _FILES},
        server_name=config.tls.server_name,
        reload_interval=seconds(config.tls, "reload_interval", 60.0),
        handshake_timeout=positive_seconds(
            config.tls, "tls", "handshake_timeout", HANDSHAKE_TIMEOUT
        ),
    )


def port(config: NodeConfig, name: str) -> Port | None:
    """Return the port of a service; None where it has none.

    Raises:
        ConfigError: names the field that cannot be used, or the one that is missing: nobody
            listens on a port in plaintext.
    """
    service = config.services[name]
    if not service.HasField("tcp"):
        return None
    host, number = host_and_port(name, service.tcp)
    if (how := tls(config)) is None:
        raise ConfigError(f"tls: must be given, services.{name}.tcp needs it")
    return Port(name, host, number, how)


def host_and_port(name: str, tcp: Any) -> tuple[str, int]:
    """Return what a service's TCPConfig says.

    Raises:
        ConfigError: there is no such port.
    """
    if tcp.port not in PORTS:
        raise ConfigError(f"services.{name}.tcp.port: must be 1 to 65535")
    return tcp.host or "localhost", tcp.port


def bracketed(host: str) -> str:
    """Return a host as it stands before a colon and a port."""
    return f"[{host}]" if ":" in host else host
