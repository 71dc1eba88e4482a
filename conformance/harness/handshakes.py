"""TLS by hand: how a handshake ends, and what a port says to those who shake no hands."""

import asyncio
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509

from . import bounds
from .addresses import HOST
from .pki import SERVER_NAME, Credentials, Pki

ALERT = 21
"""Type of a TLS record that says why there is no handshake (RFC 8446, 5.1)."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """How a handshake ended, as the client sees it."""

    version: str = ""
    alpn: str = ""
    serial: int = 0
    """Of the server's certificate."""
    failed: bool = False


async def shake(
    port: int,
    credentials: Credentials,
    *,
    alpn: tuple[str, ...] = ("h2",),
    at_most: ssl.TLSVersion | None = None,
) -> Handshake:
    """Shake hands at a port of 127.0.0.1, and go.

    Args:
        port: where.
        credentials: what the client shows, and whom it trusts.
        alpn: protocols that it offers.
        at_most: the latest version that it offers; None: as late as can be.
    """
    context = credentials.context(ssl.PROTOCOL_TLS_CLIENT, alpn=alpn, at_most=at_most)
    try:
        async with asyncio.timeout(bounds.DEADLINE + bounds.JITTER.seconds):
            _, writer = await asyncio.open_connection(
                HOST, port, ssl=context, server_hostname=credentials.server_name
            )
    except (OSError, TimeoutError):
        return Handshake(failed=True)
    tls = writer.get_extra_info("ssl_object")
    shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
    return Handshake(tls.version(), tls.selected_alpn_protocol() or "", shown.serial_number)


async def told(port: int, data: bytes, bound: float) -> bytes:
    """Send bytes to a port of 127.0.0.1; return all that comes until it closes the connection.

    Raises:
        NonConformance: it does not close it within `bound` seconds.
        Inconclusive: it does not, but the host let it wait for a CPU.
    """
    begin = time.monotonic()
    reader, writer = await asyncio.open_connection(HOST, port)
    came = b""
    try:
        async with asyncio.timeout(bound + bounds.JITTER.seconds):
            with suppress(ConnectionError):
                writer.write(data)
                while chunk := await reader.read(1 << 16):
                    came += chunk
    except TimeoutError:
        bounds.late(
            f"end of a connection that sent {data[:16]!r}…",
            bound=bound,
            since=begin,
            seen=lambda: f"still open; what came: {came!r}",
        )
    finally:
        writer.transport.abort()
    return came


def client_hello(credentials: Credentials) -> bytes:
    """Return the first words of a handshake."""
    outgoing = ssl.MemoryBIO()
    hello = credentials.context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(
        ssl.MemoryBIO(), outgoing, server_hostname=credentials.server_name
    )
    with suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    return outgoing.read()


def can_offer(version: ssl.TLSVersion, pki: Pki) -> bool:
    """Tell whether this process can speak a version of TLS at all: with itself."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        sides = (
            pki.client.context(ssl.PROTOCOL_TLS_CLIENT, at_most=version).wrap_bio(
                to_client, to_server, server_hostname=SERVER_NAME
            ),
            pki.server()
            .context(ssl.PROTOCOL_TLS_SERVER, at_most=version)
            .wrap_bio(to_server, to_client, server_side=True),
        )
        # Each flight of a handshake wakes the other side: three are enough for every version.
        for side in sides * 3:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLError:
        return False
    return sides[0].version() is not None
