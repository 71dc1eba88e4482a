"""What a case of a broken client is, and how a service may take it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ..frames import call_headers
from .wire import PREFACE, headers, settings

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
CREATE = "/blackhole.identity.v1.IdentityService/CreateDID"

OPENING = PREFACE + settings()
"""What a client that means well begins with."""

CONTROL = 1
"""Stream of the call that is answered before anything is broken."""

FORGED = 3
"""Stream that is broken, where it is one."""

IDLE = 9
"""A stream that nobody has opened."""

AFTERWARDS = 1_000_001
"""Stream of the call that shows whether the connection goes on; no case comes so far."""


class Ending(StrEnum):
    """How a service takes what is broken."""

    ENDED = "the connection is ended"
    REFUSED = "the stream is refused"
    TOLERATED = "the connection goes on"


ENDED, REFUSED, TOLERATED = Ending.ENDED, Ending.REFUSED, Ending.TOLERATED


@dataclass(frozen=True, slots=True)
class Client:
    """One way for a client to break HTTP/2, or gRPC over it."""

    name: str
    what: str
    """What is sent, as it completes "a connection with …"."""
    rule: str
    """What it breaks."""
    effect: str
    """Of getting it wrong."""
    permitted: frozenset[Ending]
    parts: Callable[[], Iterable[bytes]]
    """Makes the bytes."""
    because: str = ""
    """Why more is permitted than the rule says."""
    stream: int | None = None
    """The stream whose end is the answer; None: the connection's is, or that of another call."""
    opens: bool = True
    """Whether it begins as a client does who means well."""

    def __repr__(self) -> str:
        """Show its name."""
        return f"Client({self.name!r})"


def request(stream: int, path: str = CHECK, *more: tuple[str, str], end: bool = False) -> bytes:
    """Return the headers of a call as they should be."""
    return headers(stream, [*fields(path), *more], end=end)


def fields(path: str = CHECK) -> list[tuple[str, str]]:
    """Return the headers of a call as they should be, in a list."""
    return call_headers(path)


def once(*parts: bytes) -> Callable[[], Iterable[bytes]]:
    """Return what makes these bytes."""
    return lambda: parts
