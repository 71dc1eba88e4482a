"""Frames of HTTP/2 and of gRPC: as little as h2 does not do for us."""

import struct

from google.protobuf.message import Message

PREFACE = 24
"""Bytes that a client sends before its first frame (RFC 9113, 3.4)."""

_PREFIX = struct.Struct(">?I")

_FRAME_HEADER = 9
_GOAWAY = 7
"""Bytes of a frame's header, and the type of a GOAWAY frame (RFC 9113, 4.1 and 6.8)."""


def call_headers(path: str) -> list[tuple[str, str]]:
    """Return the headers of a gRPC call as they should be, before its custom metadata."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]


def framed(message: Message | bytes, *, compressed: bool = False) -> bytes:
    """Return a message with gRPC's five-byte prefix; its bytes are taken as they are."""
    body = message if isinstance(message, bytes) else message.SerializeToString()
    return _PREFIX.pack(compressed, len(body)) + body


def unframed(data: bytes | bytearray) -> tuple[list[tuple[bool, bytes]], int]:
    """Return the whole messages at the start of `data`, and how many bytes they take.

    A message is told as its compressed flag and its bytes without the prefix.
    """
    found, start = [], 0
    while len(data) - start >= _PREFIX.size:
        compressed, length = _PREFIX.unpack_from(data, start)
        end = start + _PREFIX.size + length
        if len(data) < end:
            break
        found.append((compressed, bytes(data[start + _PREFIX.size : end])))
        start = end
    return found, start


class GoawayFilter:
    """Takes GOAWAY out of what comes from the other side, and notes it.

    h2 ends the connection at a GOAWAY, although streams that were begun go on (RFC 9113, 6.8).
    """

    def __init__(self, *, preface: int = 0) -> None:
        """Begin before the first byte; so many bytes come before the first frame."""
        self.first_frame: int | None = None
        """Type of the first frame that came."""
        self.goaway = False
        """Whether GOAWAY came."""
        self._preface = preface
        self._partial = b""

    def feed(self, data: bytes) -> bytes:
        """Return the whole frames that there are now, but GOAWAY."""
        passed = bytearray(data[: self._preface])
        self._partial += data[self._preface :]
        self._preface -= len(passed)
        start = 0
        while len(self._partial) - start >= _FRAME_HEADER:
            length = int.from_bytes(self._partial[start : start + 3], "big")
            end = start + _FRAME_HEADER + length
            if len(self._partial) < end:
                break
            kind = self._partial[start + 3]
            if self.first_frame is None:
                self.first_frame = kind
            if kind == _GOAWAY:
                self.goaway = True
            else:
                passed += self._partial[start:end]
            start = end
        self._partial = self._partial[start:]
        return bytes(passed)
