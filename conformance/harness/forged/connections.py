"""Frames that are wrong, or far too many, around an answer: what breaks HTTP/2 (ERR-9)."""

from collections.abc import Callable, Iterable, Iterator

from ..frames import framed
from . import wire
from .floods import FRAMES
from .headers import BOMB
from .record import IDLE
from .server import BROKEN, HEADERS, MESSAGE, OK, Server, answered, begun, body, ended
from .wire import ACK, END_HEADERS, LARGEST, Kind, frame, settings, window_update

_LENIENT = "a client may ignore what is said of streams that it does not know, or overlook it"


def _before(*parts: bytes) -> Callable[[int], Iterable[bytes]]:
    """Return what makes these bytes, and a right answer after them."""
    return lambda stream: (*parts, answered(stream))


def _pings(stream: int) -> Iterator[bytes]:
    for number in range(FRAMES):
        yield frame(Kind.PING, number.to_bytes(8, "big"))
    yield answered(stream)


def _settings(stream: int) -> Iterator[bytes]:
    for _ in range(FRAMES):
        yield settings()
    yield answered(stream)


def _header_bomb(stream: int) -> Iterator[bytes]:
    yield frame(Kind.HEADERS, wire.block(HEADERS), stream=stream)
    part = wire.block([("x-bomb", "v" * 4000)]) * 4
    for _ in range(BOMB // len(part)):
        yield frame(Kind.CONTINUATION, part, stream=stream)
    yield frame(Kind.CONTINUATION, flags=END_HEADERS, stream=stream)


def _flood_of_data(stream: int) -> Iterator[bytes]:
    yield begun(stream) + wire.data(stream, b"\x00\xff\xff\xff\xff")
    for _ in range(BOMB // LARGEST):
        yield wire.data(stream, bytes(LARGEST))


CONNECTIONS = (
    Server(
        "goaway",
        "GOAWAY for an error, and the end of the connection",
        "RFC 9113, 6.8",
        "the call is never ended, or is made again although it may have been served",
        BROKEN,
        lambda stream: (wire.goaway(stream, wire.Error.PROTOCOL_ERROR),),
        "the libraries differ",
        closes=True,
    ),
    Server(
        "goaway-that-lets-the-call-finish",
        "GOAWAY that leaves the call out, and a right answer",
        "RFC 9113, 6.8: streams up to the one that GOAWAY names go on",
        "each update of a server costs the calls that it was about to answer",
        frozenset({OK}),
        lambda stream: (wire.goaway(stream, 0), answered(stream)),
    ),
    Server(
        "frame-too-large",
        "a frame of 16 MiB",
        "RFC 9113, 4.2: more than SETTINGS_MAX_FRAME_SIZE is FRAME_SIZE_ERROR",
        "whoever says a length has so much memory set aside",
        BROKEN | {"RESOURCE_EXHAUSTED"},
        body(framed(bytes((1 << 24) - 6))),
        "a client may allow such frames, and not such messages (SOCK-9)",
    ),
    Server(
        "settings-of-5-bytes",
        "SETTINGS of five bytes",
        "RFC 9113, 6.5: FRAME_SIZE_ERROR of the connection",
        "the last setting is read beyond the frame",
        BROKEN,
        _before(frame(Kind.SETTINGS, bytes(5))),
    ),
    Server(
        "settings-ack-with-payload",
        "an acknowledgement of SETTINGS with settings in it",
        "RFC 9113, 6.5: FRAME_SIZE_ERROR of the connection",
        "settings that were never agreed on are applied",
        BROKEN,
        _before(frame(Kind.SETTINGS, bytes(6), flags=ACK)),
    ),
    Server(
        "ping-of-7-bytes",
        "PING of seven bytes",
        "RFC 9113, 6.7: FRAME_SIZE_ERROR of the connection",
        "the eighth byte is read beyond the frame, and sent back",
        BROKEN,
        _before(frame(Kind.PING, bytes(7))),
    ),
    Server(
        "window-update-of-0",
        "WINDOW_UPDATE by zero",
        "RFC 9113, 6.9: PROTOCOL_ERROR of the connection",
        "frames that change nothing are worked on for ever",
        BROKEN,
        _before(window_update(0, 0)),
    ),
    Server(
        "window-overflow",
        "a window of more than 2^31 - 1 bytes",
        "RFC 9113, 6.9.1: FLOW_CONTROL_ERROR of the connection",
        "a counter overflows, and nothing is sent on that connection any more",
        BROKEN | {OK},
        _before(window_update(0, wire.MOST) * 2),
        "gRPC C-core counts in 64 bits: the window is what it says",
    ),
    Server(
        "unknown-frame",
        "a frame of a type that nobody knows, and a right answer",
        "RFC 9113, 5.5: it must be ignored",
        "servers of a later edition cannot be called",
        frozenset({OK}),
        _before(frame(Kind.UNKNOWN, b"of a later edition", flags=0xFF, stream=IDLE)),
    ),
    Server(
        "push-promise",
        "PUSH_PROMISE, which no gRPC client allows",
        "RFC 9113, 8.4: PROTOCOL_ERROR of the connection, where push was disabled",
        "a server makes its client keep what it did not ask for",
        BROKEN | {OK},
        lambda stream: (
            frame(
                Kind.PUSH_PROMISE,
                (2).to_bytes(4, "big") + wire.block([(":path", "/")]),
                flags=END_HEADERS,
                stream=stream,
            ),
            answered(stream),
        ),
        "to gRPC C-core it is a frame of no known type",
    ),
    Server(
        "data-on-an-idle-stream",
        "DATA on a stream that nobody opened, and a right answer",
        "RFC 9113, 5.1: PROTOCOL_ERROR of the connection",
        "a message is handed to the call that comes next",
        BROKEN | {OK},
        _before(wire.data((1 << 20) + 1, MESSAGE)),
        _LENIENT,
    ),
    Server(
        "continuation-where-none-belongs",
        "CONTINUATION without a block that it goes on with",
        "RFC 9113, 6.10: PROTOCOL_ERROR of the connection",
        "headers are added to an answer that was looked at already",
        BROKEN,
        lambda stream: (
            begun(stream),
            frame(Kind.CONTINUATION, flags=END_HEADERS, stream=stream),
            wire.data(stream, MESSAGE),
            ended(stream),
        ),
    ),
    Server(
        "hpack-index-of-nothing",
        "a header by an index that no table has",
        "RFC 7541, 2.3.3: COMPRESSION_ERROR of the connection",
        "memory is read that is not the table's",
        BROKEN,
        lambda stream: (
            wire.headers(stream, wire.block(HEADERS) + b"\xff\xff\x7f"),
            wire.data(stream, MESSAGE),
            ended(stream),
        ),
    ),
    Server(
        "header-bomb",
        "64 MiB of headers in one block",
        "RFC 9113, 10.5.1: what a recipient does not want to keep it refuses",
        "whoever is called decides how much memory its caller has",
        BROKEN | {"RESOURCE_EXHAUSTED"},
        _header_bomb,
        "RESOURCE_EXHAUSTED says what it is; others end the connection",
    ),
    Server(
        "data-without-end",
        "64 MiB of a message that says it has 4 GiB",
        "SOCK-9: the limit on messages; RFC 9113, 6.9.1: the window",
        "whoever is called decides how much memory its caller has",
        BROKEN | {"RESOURCE_EXHAUSTED"},
        _flood_of_data,
        "RESOURCE_EXHAUSTED for the length; the others for the window",
    ),
    Server(
        "ping-flood",
        "10,000 PING, and a right answer",
        "RFC 9113, 10.5 (CVE-2019-9512)",
        "acknowledgements are queued without end",
        BROKEN | {OK},
        _pings,
        "a client may work off as many, or leave",
    ),
    Server(
        "settings-flood",
        "10,000 SETTINGS, and a right answer",
        "RFC 9113, 10.5 (CVE-2019-9515)",
        "acknowledgements are queued without end",
        BROKEN | {OK},
        _settings,
        "a client may work off as many, or leave",
    ),
)
