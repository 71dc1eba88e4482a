"""Blocks of headers that are wrong: HPACK (RFC 7541), CONTINUATION, and what they say."""

from collections.abc import Iterable, Iterator

import hpack

from ..frames import framed
from . import wire
from .record import CHECK, ENDED, FORGED, IDLE, REFUSED, Client, Ending, fields, once, request
from .wire import END_HEADERS, END_STREAM, LARGEST, Kind, frame

BOMB = 64 << 20
"""Bytes of headers in a bomb: twice what a process may grow by."""

_CLOSES = frozenset({ENDED})
_REFUSES = frozenset({ENDED, REFUSED})


def _continued(first: bytes, then: Iterable[bytes]) -> Iterator[bytes]:
    """Yield HEADERS whose block goes on in CONTINUATION without end."""
    yield frame(Kind.HEADERS, first, flags=END_STREAM, stream=FORGED)
    for part in then:
        yield frame(Kind.CONTINUATION, part, stream=FORGED)


def _hpack_bomb() -> Iterator[bytes]:
    """Put a header of 4,000 bytes into the table, and name it again and again by one byte."""
    stored = hpack.Encoder().encode([("x-bomb", "v" * 3900)], huffman=False)
    named = b"\xbe" * (LARGEST - len(stored) - 512)
    for count in range(BOMB // (3900 * len(named)) + 1):
        stream = FORGED + 2 * count
        again = stored if count == 0 else b""
        yield wire.headers(stream, wire.block(fields()) + again + named, end=True)


def _header_bomb() -> Iterator[bytes]:
    """Send headers in plain words, each of 4,000 bytes, without end."""
    one = wire.block([("x-bomb", "v" * 4000)])
    return _continued(wire.block(fields()), (one * 4 for _ in range(BOMB // (4 * len(one)))))


def _of_many() -> Iterator[bytes]:
    """Send headers of the smallest size, in great number."""
    many = wire.block([("a", "")]) * 4000
    return _continued(wire.block(fields()), (many for _ in range(64)))


def _without(name: str) -> list[tuple[str, str]]:
    return [field for field in fields() if field[0] != name]


HEADERS = (
    Client(
        "hpack-index-of-nothing",
        "a header by an index that no table has",
        "RFC 7541, 2.3.3: a decoding error, which is COMPRESSION_ERROR of the connection",
        "memory is read that is not the table's",
        _CLOSES,
        once(wire.headers(FORGED, wire.block(fields()) + b"\xff\xff\x7f", end=True)),
        stream=FORGED,
    ),
    Client(
        "hpack-integer-without-end",
        "an integer of HPACK that never ends",
        "RFC 7541, 5.1: beyond an implementation's limits it is a decoding error",
        "an integer overflows, or is read for ever",
        _CLOSES,
        once(wire.headers(FORGED, wire.block(fields()) + b"\xff" * 32, end=True)),
        stream=FORGED,
    ),
    Client(
        "hpack-table-too-large",
        "a dynamic table of more than was allowed",
        "RFC 7541, 6.3: a decoding error",
        "a caller decides how much the service keeps for it",
        _CLOSES,
        once(wire.headers(FORGED, b"\x3f\xe1\xff\xff\x7f" + wire.block(fields()), end=True)),
        stream=FORGED,
    ),
    Client(
        "hpack-huffman-garbage",
        "a string that no Huffman code of HPACK's ends as",
        "RFC 7541, 5.2: padding of more than seven bits is a decoding error",
        "two readers of one block read different headers",
        frozenset(Ending),
        once(
            wire.headers(FORGED, wire.block(fields()) + b"\x00\x01a\x84\xff\xff\xff\xff"),
            wire.data(FORGED, framed(b""), end=True),
        ),
        "gRPC C-core takes such a string for one that ended before its padding",
        stream=FORGED,
    ),
    Client(
        "hpack-cut-off",
        "a block of headers that ends within a string",
        "RFC 9113, 4.3: COMPRESSION_ERROR of the connection",
        "the rest of it is read from whatever comes next",
        _CLOSES,
        once(wire.headers(FORGED, wire.block(fields())[:-4], end=True)),
        stream=FORGED,
    ),
    Client(
        "hpack-bomb",
        "a header of 4,000 bytes that each further byte names once more",
        "RFC 9113, 10.5.1; ERR-5: metadata is bounded",
        "a thousand bytes become four million, for anybody who can connect",
        _REFUSES,
        _hpack_bomb,
        "what is beyond the limit may be refused by its stream alone",
        stream=FORGED,
    ),
    Client(
        "header-bomb",
        "64 MiB of headers in one block",
        "RFC 9113, 10.5.1; ERR-5: metadata is bounded",
        "headers are kept before anybody is authenticated",
        _REFUSES,
        _header_bomb,
        "what is beyond the limit may be refused by its stream alone",
        stream=FORGED,
    ),
    Client(
        "a-quarter-of-a-million-headers",
        "256,000 headers in one block",
        "RFC 9113, 10.5.1; ERR-5: each counts 32 bytes besides",
        "headers of no size at all are kept without end",
        _REFUSES,
        _of_many,
        "what is beyond the limit may be refused by its stream alone",
        stream=FORGED,
    ),
    Client(
        "continuation-where-none-belongs",
        "CONTINUATION without a block that it goes on with",
        "RFC 9113, 6.10: PROTOCOL_ERROR of the connection",
        "headers are added to a call that was looked at already",
        _CLOSES,
        once(request(FORGED), frame(Kind.CONTINUATION, b"", flags=END_HEADERS, stream=FORGED)),
        stream=FORGED,
    ),
    Client(
        "continuation-on-another-stream",
        "a block of headers that goes on on another stream",
        "RFC 9113, 6.10: PROTOCOL_ERROR of the connection",
        "the headers of one call become another's",
        _CLOSES,
        once(
            frame(Kind.HEADERS, wire.block(fields()), stream=FORGED),
            frame(Kind.CONTINUATION, b"", flags=END_HEADERS, stream=IDLE),
        ),
    ),
    Client(
        "frames-within-a-block",
        "PING within a block of headers",
        "RFC 9113, 6.2: any other frame there is PROTOCOL_ERROR of the connection",
        "the block is taken to have ended, or for two",
        _CLOSES,
        once(
            frame(Kind.HEADERS, wire.block(fields()), stream=FORGED),
            frame(Kind.PING, bytes(8)),
        ),
    ),
    Client(
        "no-path",
        "a call without :path",
        "RFC 9113, 8.3.1: malformed; PROTOCOL_ERROR of the stream",
        "a method is looked up that nobody named",
        _REFUSES,
        once(wire.headers(FORGED, _without(":path")), wire.data(FORGED, framed(b""), end=True)),
        "a recipient may treat any error of a stream as one of the connection (RFC 9113, 5.4.2)",
        stream=FORGED,
    ),
    Client(
        "get",
        "a call by GET",
        "gRPC over HTTP/2, Requests: the method is POST",
        "a browser's request becomes a call",
        frozenset(Ending),
        once(
            wire.headers(FORGED, [(":method", "GET"), *_without(":method")]),
            wire.data(FORGED, framed(b""), end=True),
        ),
        "grpc-js goes by the path alone",
        stream=FORGED,
    ),
    Client(
        "name-in-upper-case",
        "a header whose name is in upper case",
        "RFC 9113, 8.2.1: malformed; PROTOCOL_ERROR of the stream",
        "a header passes whoever looks for its name in lower case",
        _REFUSES,
        once(
            wire.headers(FORGED, [*fields(), ("X-Suite", "1")]),
            wire.data(FORGED, framed(b""), end=True),
        ),
        "a recipient may treat any error of a stream as one of the connection (RFC 9113, 5.4.2)",
        stream=FORGED,
    ),
    Client(
        "line-break-in-a-value",
        "a header whose value holds a line break",
        "RFC 9113, 8.2.1: malformed; PROTOCOL_ERROR of the stream",
        "a value becomes two headers, or two lines of a log",
        frozenset(Ending),
        once(
            wire.headers(FORGED, [*fields(), ("x-suite", "1\r\nx-more: 2")]),
            wire.data(FORGED, framed(b""), end=True),
        ),
        "gRPC C-core hands the value on as it came; whoever writes it down has to quote it",
        stream=FORGED,
    ),
    Client(
        "pseudo-header-at-last",
        "a pseudo-header after an ordinary one",
        "RFC 9113, 8.3: malformed; PROTOCOL_ERROR of the stream",
        "two readers see two methods",
        frozenset(Ending),
        once(
            wire.headers(FORGED, [*_without(":path"), (":path", CHECK)]),
            wire.data(FORGED, framed(b""), end=True),
        ),
        "to gRPC C-core order means nothing; it takes no header twice",
        stream=FORGED,
    ),
)
