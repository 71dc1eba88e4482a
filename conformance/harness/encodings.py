"""Compressed messages by hand: what a caller sends, and what it got, as bytes."""

import zlib

from google.protobuf.message import Message

from .frames import framed
from .judging import NonConformance
from .raw import Header, RawAnswer

GZIP: Header = ("grpc-encoding", "gzip")
"""Header of a request whose messages may be compressed with gzip."""

_WINDOW_BITS = {"gzip": 31, "deflate": 15}
"""What zlib takes for each encoding of gRPC's own; its deflate is the format of RFC 1950."""


def accepts(*encodings: str) -> Header:
    """Return the header of a caller that accepts these encodings."""
    return ("grpc-accept-encoding", ",".join(encodings))


def compressed(message: Message | bytes, encoding: str = "gzip", *, level: int = 6) -> bytes:
    """Return what a message is in an encoding, without a prefix."""
    body = message if isinstance(message, bytes) else message.SerializeToString()
    return zlib.compress(body, level, _WINDOW_BITS[encoding])


def compressed_frame(message: Message | bytes, encoding: str = "gzip") -> bytes:
    """Return a message as it is sent in an encoding: prefix, flag and compressed bytes."""
    return framed(compressed(message, encoding), compressed=True)


def bomb(part: Message, times: int) -> bytes:
    """Return the gzip of a message that is another one so many times over.

    Messages of Protocol Buffers one after the other are one message again. It is never in
    memory as a whole.
    """
    stream = zlib.compressobj(wbits=_WINDOW_BITS["gzip"])
    body = part.SerializeToString()
    return b"".join([*(stream.compress(body) for _ in range(times)), stream.flush()])


def encoding_of(answer: RawAnswer) -> str:
    """Return the encoding that an answer names; `identity` when it names none."""
    return answer.headers.get("grpc-encoding", "identity")


def accepted_by(answer: RawAnswer) -> frozenset[str]:
    """Return the encodings that an answer says its service accepts."""
    listed = answer.headers.get("grpc-accept-encoding", "")
    return frozenset(name.strip() for name in listed.split(",") if name.strip())


def read(answer: RawAnswer) -> list[bytes]:
    """Return the messages of an answer, decompressed as it says.

    Raises:
        NonConformance: a message is not what its flag and the answer's encoding say.
    """
    return [_read(wire, encoding_of(answer)) if flag else wire for flag, wire in answer.frames()]


def _read(wire: bytes, encoding: str) -> bytes:
    try:
        return zlib.decompress(wire, _WINDOW_BITS[encoding])
    except (zlib.error, KeyError) as error:
        raise NonConformance(
            what="a message with the compressed flag",
            expected=f"{encoding} as the answer's grpc-encoding says",
            observed=f"{error!r}: {wire!r}",
        ) from None
