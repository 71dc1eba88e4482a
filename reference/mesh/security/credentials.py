"""gRPC's credentials, made of certificates that may be renewed."""

from collections.abc import Callable
from typing import Any

import grpc

from .certificates import Certificates, Material


def for_server(certificates: Certificates) -> Any:
    """Return credentials of one port: clients must show a certificate (TLS-2, TLS-3, TLS-11).

    Each port needs its own: gRPC asks for what is new once a port.
    """
    given = certificates.current()

    def renewed() -> Any:
        """Return what is new since the last time. Called before each handshake.

        By a thread of gRPC's, which has no other handshake of this port begin meanwhile.
        """
        nonlocal given
        if (current := certificates.current()) is given:
            return None
        given = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given), renewed, require_client_authentication=True
    )


def for_client(certificates: Certificates) -> Callable[[], Any]:
    """Return what gives a new channel its credentials (TLS-6, TLS-7)."""
    given: Material | None = None
    credentials: Any = None

    def current() -> Any:
        """Return the last ones as long as the files are the same."""
        nonlocal given, credentials
        if (found := certificates.current()) is not given:
            given = found
            credentials = grpc.ssl_channel_credentials(found.authorities, found.key, found.chain)
        return credentials

    return current


def _configuration(material: Material) -> Any:
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.chain)], root_certificates=material.authorities
    )
