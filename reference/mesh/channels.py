"""Channels: plaintext to a Unix socket, and what the configuration says to a port."""

from collections.abc import Callable, Sequence
from typing import Any

import grpc

from ..config.tls import TLS

UNIX = "unix:"
"""What the address of a Unix socket begins with."""

Option = tuple[str, Any]


class Channels:
    """Makes the channels of a process.

    Args:
        credentials: returns those of a channel to a port; None: ports are spoken to in plaintext.
        server_name: that a port's certificate must bear; empty: the host.
    """

    def __init__(self, credentials: Callable[[], Any] | None = None, server_name: str = "") -> None:
        """Remember how."""
        self._credentials = credentials
        # It is the `:authority` of the calls too.
        self._named = (("grpc.ssl_target_name_override", server_name),) if server_name else ()

    def __repr__(self) -> str:
        """Show how ports are spoken to."""
        return f"Channels(tls={self._credentials is not None})"

    def encrypts(self, address: str) -> bool:
        """Tell whether TLS is spoken to an address."""
        return self._credentials is not None and not address.startswith(UNIX)

    def open(self, address: str, options: Sequence[Option]) -> Any:
        """Return a channel to a Unix socket's address or to `host:port`."""
        if address.startswith(UNIX):
            return grpc.aio.insecure_channel(address, options=options)
        # Else a host by the name of `unix` would be read as a socket.
        target = f"dns:///{address}"
        if self._credentials is None:
            return grpc.aio.insecure_channel(target, options=options)
        return grpc.aio.secure_channel(
            target, self._credentials(), options=[*options, *self._named]
        )


PLAINTEXT = Channels()


def channels(tls: TLS | None) -> Channels:
    """Return what makes the channels of a process that is configured so.

    Raises:
        StartError: one of the files cannot be used.
    """
    if tls is None:
        return Channels()
    # A process without TLS starts sooner without.
    from .security import certificates, credentials  # noqa: PLC0415

    return Channels(credentials.for_client(certificates.Certificates(tls)), tls.server_name)
