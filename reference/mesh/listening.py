"""Where a process listens: its Unix socket, its port, or both (document: Remote Communication)."""

import resource
from contextlib import suppress
from typing import Any

from ..config.reading import ProcessSettings
from .sockets import PublishedSocket, permissions


def raise_file_limit() -> None:
    """Allow this process as many open files as it may have.

    Each connection is one, and who holds many without a word keeps others out (TLS-12).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where the system's own limit is lower by now, it stays as it is.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Listeners:
    """What a process listens at.

    Args:
        settings: of the process.

    Raises:
        SocketError: there is no such group.
        StartError: a file of TLS cannot be used.
    """

    def __init__(self, settings: ProcessSettings) -> None:
        """Nothing is listened at before `start`."""
        self._socket = None
        if settings.socket is not None:
            self._socket = PublishedSocket(settings.socket, permissions(settings.socket_group))
        self._port = None
        if settings.port is not None:
            # A process without TLS starts sooner without.
            from .security.port import TLSPort  # noqa: PLC0415

            self._port = TLSPort(settings.port)

    def __repr__(self) -> str:
        """Show both."""
        return f"Listeners({self._socket}, {self._port})"

    @property
    def told(self) -> dict[str, str]:
        """What the log says of it."""
        told = {} if self._socket is None else {"socket": str(self._socket.path)}
        return told if self._port is None else told | {"tls": ", ".join(self._port.bound)}

    async def start(self, server: Any) -> None:
        """Let a server listen, and start it.

        The port first: who finds the socket finds both.

        Raises:
            SocketError: the socket cannot be published.
            StartError: the port cannot be had.
        """
        if self._port is not None:
            self._port.bind(server)
        if self._socket is None:
            await server.start()
            return
        with self._socket.publishing() as private:
            server.add_insecure_port(f"unix:{private}")
            await server.start()

    def withdraw(self) -> None:
        """Remove the socket. The port closes as soon as the server begins to stop."""
        if self._socket is not None:
            self._socket.withdraw()
