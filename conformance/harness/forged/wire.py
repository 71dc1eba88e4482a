"""HTTP/2 as bytes, right or wrong: what no library lets anybody send."""

from collections.abc import Sequence
from enum import IntEnum

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""First words of a client (RFC 9113, 3.4)."""

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20
"""Flags (RFC 9113, 6)."""

LARGEST = 1 << 14
"""Bytes of payload that a frame may have where nobody allows more (RFC 9113, 4.2)."""

MOST = (1 << 31) - 1
"""The largest window, increment of one, and number of a stream (RFC 9113, 5.1.1 and 6.9.1)."""

WINDOW = 65_535
"""Bytes of a window at first (RFC 9113, 6.9.2)."""

Header = tuple[str, str]


class Kind(IntEnum):
    """Type of a frame (RFC 9113, 6)."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9
    UNKNOWN = 0xFA
    """Of no RFC: what a later one may define, and who does not know it must ignore."""


class Setting(IntEnum):
    """What SETTINGS set (RFC 9113, 6.5.2)."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    UNKNOWN = 0xFAFA


class Error(IntEnum):
    """Error codes (RFC 9113, 7)."""

    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    CANCEL = 8


def frame(
    kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0, length: int | None = None
) -> bytes:
    """Return a frame.

    Args:
        kind: its type.
        payload: whatever it holds.
        flags: whatever they mean.
        stream: number of the stream.
        length: what its header says of the payload; None: the truth.
    """
    told = len(payload) if length is None else length
    return told.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    """Return SETTINGS."""
    values = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs)
    return frame(Kind.SETTINGS, values)


def window_update(stream: int, increment: int) -> bytes:
    """Return WINDOW_UPDATE."""
    return frame(Kind.WINDOW_UPDATE, increment.to_bytes(4, "big"), stream=stream)


def reset(stream: int, code: int) -> bytes:
    """Return RST_STREAM."""
    return frame(Kind.RST_STREAM, code.to_bytes(4, "big"), stream=stream)


def goaway(last: int, code: int) -> bytes:
    """Return GOAWAY."""
    return frame(Kind.GOAWAY, last.to_bytes(4, "big") + code.to_bytes(4, "big"))


def block(headers: Sequence[Header]) -> bytes:
    """Return a block of headers that neither needs nor changes a table of HPACK."""
    return bytes(
        hpack.Encoder().encode([(name, value, True) for name, value in headers], huffman=False)
    )


def headers(stream: int, fields: Sequence[Header] | bytes, *, end: bool = False) -> bytes:
    """Return HEADERS with a whole block, of headers or of bytes that may be one."""
    payload = fields if isinstance(fields, bytes) else block(fields)
    flags = END_HEADERS | (END_STREAM if end else 0)
    return frame(Kind.HEADERS, payload, flags=flags, stream=stream)


def data(stream: int, payload: bytes, *, end: bool = False) -> bytes:
    """Return DATA."""
    return frame(Kind.DATA, payload, flags=END_STREAM if end else 0, stream=stream)
