"""What a case of a broken server is, and the words that its answer is made of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..frames import framed
from . import wire

OK = "OK"
PAYLOAD = b"forged"
"""Payload of answers that are right by themselves."""

BROKEN = frozenset({"UNAVAILABLE", "INTERNAL", "UNKNOWN"})
"""Codes of a call whose connection was ended for a fault: gRPC's own libraries differ."""

SHORT = 0.5
"""Seconds of a deadline where it may be what ends the call."""

LONG = 4.0
"""Seconds of a deadline that is never what ends the call."""

MESSAGE = framed(b"\x0a\x06" + PAYLOAD)
"""An UnaryResponse, or one of any other method of Probe, with that payload."""

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS = [("grpc-status", "0")]


@dataclass(frozen=True, slots=True)
class Server:
    """One way for a server to break HTTP/2, or gRPC over it, in place of an answer."""

    name: str
    what: str
    """What is sent, as it completes "a call that is answered with …"."""
    rule: str
    """What it breaks."""
    effect: str
    """Of getting it wrong."""
    permitted: frozenset[str]
    """Codes with which the call may end; OK only with the payload."""
    parts: Callable[[int], Iterable[bytes]]
    """Makes the bytes, for a stream."""
    because: str = ""
    """Why there are several, or OK is among them."""
    method: str = "UNARY"
    """Of Probe, as the driver calls it."""
    timeout: float = LONG
    """Seconds of the call's deadline."""
    closes: bool = False
    """Whether the server closes the connection after it."""

    def __repr__(self) -> str:
        """Show its name."""
        return f"Server({self.name!r})"


def begun(stream: int) -> bytes:
    """Return headers as they should be."""
    return wire.headers(stream, HEADERS)


def ended(stream: int) -> bytes:
    """Return trailers that say OK."""
    return wire.headers(stream, TRAILERS, end=True)


def answered(stream: int) -> bytes:
    """Return a whole answer as it should be."""
    return begun(stream) + wire.data(stream, MESSAGE) + ended(stream)


def body(*parts: bytes) -> Callable[[int], Iterable[bytes]]:
    """Return what makes an answer with this body, that is OK."""
    return lambda stream: (
        begun(stream),
        *(wire.data(stream, part) for part in parts),
        ended(stream),
    )
