"""A port of a service's that is reached by mutual TLS alone (document: Remote Communication)."""

import errno
import socket
from typing import Any

from ...config.tls import Port, bracketed
from ..errors import StartError
from .certificates import Certificates
from .credentials import for_server

ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""What binding says to an address that this machine does not have, as ::1 without IPv6."""


class TLSPort:
    """Where a service listens by TLS (TLS-1).

    Args:
        port: which.

    Raises:
        CertificateError: a file of TLS cannot be used.
    """

    def __init__(self, port: Port) -> None:
        """Read and check the files."""
        self._port = port
        self._certificates = Certificates(port.tls)
        self.bound: list[str] = []
        """Addresses that are listened at, as gRPC writes them."""

    def __repr__(self) -> str:
        """Show what was asked for, and what it became."""
        return f"TLSPort({self._port.address!r}, bound={self.bound})"

    def bind(self, server: Any) -> None:
        """Let a server listen at every address that the host has.

        Raises:
            StartError: there is no such host, or the port is taken at one of them.
        """
        try:
            for address in addresses(self._port.host, self._port.port):
                number = server.add_secure_port(
                    f"{address}:{self._port.port}", for_server(self._certificates)
                )
                self.bound.append(f"{address}:{number}")
        # RuntimeError: gRPC's, which does not say why; somebody was quicker than it.
        except (OSError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StartError(
                f"{self._port.field}: cannot listen at {self._port.address}: {reason}"
            ) from error


def addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host, of those that this machine has.

    gRPC by itself listens where it can, and is content with one of them.

    Raises:
        OSError: it has none, or the port is taken at one.
        ValueError: that is no host.
    """
    usable, absent = [], None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            _try(family, address)
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            absent = error
        else:
            usable.append(bracketed(str(address[0])))
    if absent is not None and not usable:
        raise absent
    return usable


def _try(family: int, address: Any) -> None:
    """Bind to an address and let it go.

    Raises:
        OSError: that cannot be.
    """
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As gRPC does: connections of a process that is gone are in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind(address)
