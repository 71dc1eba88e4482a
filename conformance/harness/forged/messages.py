"""Messages of gRPC that are wrong, in frames that are right."""

from ..frames import framed
from . import wire
from .record import CREATE, ENDED, FORGED, REFUSED, Client, Ending, once, request

MESSAGE = framed(b"\x0a\x03key")
"""A CreateDIDRequest with the method `key`."""

_REFUSES = frozenset({ENDED, REFUSED})

_PREFIXED = "gRPC over HTTP/2, Length-Prefixed-Message"
_ONE = "gRPC over HTTP/2, Requests: such a method takes exactly one message"


def _called_with(body: bytes) -> tuple[bytes, bytes]:
    return request(FORGED, CREATE), wire.data(FORGED, body, end=True)


MESSAGES = (
    Client(
        "no-message",
        "a call that ends without a message",
        _ONE,
        "the call is never answered, and whoever gave no deadline waits for ever",
        _REFUSES,
        once(request(FORGED, CREATE, end=True)),
        stream=FORGED,
    ),
    Client(
        "half-a-prefix",
        "a call that ends within the prefix of its message",
        _PREFIXED,
        "the call is never answered, or an empty message is made of it",
        _REFUSES,
        once(*_called_with(MESSAGE[:3])),
        stream=FORGED,
    ),
    Client(
        "half-a-message",
        "a call that ends within its message",
        _PREFIXED,
        "what was cut off is acted upon as if it were whole",
        _REFUSES,
        once(*_called_with(MESSAGE[:-2])),
        stream=FORGED,
    ),
    Client(
        "flag-of-two",
        "a message whose compressed flag is neither 0 nor 1",
        _PREFIXED,
        "what was sent in some other form is read as plain",
        frozenset(Ending),
        once(*_called_with(b"\x02" + MESSAGE[1:])),
        "grpc-js takes every flag but 1 for 0",
        stream=FORGED,
    ),
    Client(
        "flag-without-an-encoding",
        "a message that is flagged as compressed, by nothing",
        "gRPC compression: without grpc-encoding that is INTERNAL",
        "what is compressed is read as plain",
        _REFUSES,
        once(*_called_with(b"\x01" + MESSAGE[1:])),
        stream=FORGED,
    ),
    Client(
        "length-of-4-gib",
        "a message that says it has 4 GiB",
        f"{_PREFIXED}; SOCK-9: the limit on messages",
        "whoever says a length has so much memory set aside",
        _REFUSES,
        once(request(FORGED, CREATE), wire.data(FORGED, b"\x00\xff\xff\xff\xff" + bytes(64))),
        stream=FORGED,
    ),
)
