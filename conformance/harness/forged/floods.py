"""Floods: frames each of which is right, and far too many of them (RFC 9113, 10.5)."""

from collections.abc import Iterator

from ..frames import framed
from . import wire
from .record import CREATE, ENDED, FORGED, REFUSED, WATCH, Client, Ending, request
from .wire import END_STREAM, Kind, frame, settings, window_update

RESETS = 1_000
"""Calls that are cancelled at once: each costs a service as much as one that is made."""

FRAMES = 10_000
"""Frames of a flood: what services take for an attack is a hundred to a thousand (measured:
gRPC C-core works all of them off in 50 ms)."""

FLOOD = 48 << 20
"""Bytes of messages that nobody asked for: half as many again as a process may grow by."""

MESSAGE = framed(bytes(1 << 20))
"""A message that is within the limit."""

_ANY = frozenset(Ending)

_WORKED_OFF = "a service may work off as many, or send away who sends them"


def _rapid_reset() -> Iterator[bytes]:
    for number in range(RESETS):
        stream = FORGED + 2 * number
        yield request(stream, CREATE) + wire.reset(stream, wire.Error.CANCEL)


def _pings() -> Iterator[bytes]:
    return (frame(Kind.PING, number.to_bytes(8, "big")) for number in range(FRAMES))


def _settings() -> Iterator[bytes]:
    return (settings() for _ in range(FRAMES))


def _window_updates() -> Iterator[bytes]:
    return (window_update(0, 1) for _ in range(FRAMES))


def _continuations() -> Iterator[bytes]:
    yield frame(Kind.HEADERS, flags=END_STREAM, stream=FORGED)
    for _ in range(FRAMES):
        yield frame(Kind.CONTINUATION, stream=FORGED)


def _empty_data() -> Iterator[bytes]:
    yield request(FORGED)
    for _ in range(FRAMES):
        yield wire.data(FORGED, b"")
    yield wire.data(FORGED, framed(b""), end=True)


def _beyond_the_window() -> Iterator[bytes]:
    yield request(FORGED, WATCH) + wire.data(FORGED, framed(b""))
    for start in range(0, FLOOD, wire.LARGEST):
        place = start % len(MESSAGE)
        yield wire.data(FORGED, MESSAGE[place : place + wire.LARGEST])


FLOODS = (
    Client(
        "rapid-reset",
        "1,000 calls that are cancelled as they are made",
        "RFC 9113, 10.5: excessive use of what is right (CVE-2023-44487)",
        "streams that are gone are worked on all the same, past any limit on streams",
        _ANY,
        _rapid_reset,
        _WORKED_OFF,
    ),
    Client(
        "ping-flood",
        "10,000 PING",
        "RFC 9113, 10.5 (CVE-2019-9512)",
        "answers are queued without end, and nobody else is served meanwhile",
        _ANY,
        _pings,
        _WORKED_OFF,
    ),
    Client(
        "settings-flood",
        "10,000 SETTINGS",
        "RFC 9113, 10.5 (CVE-2019-9515)",
        "acknowledgements are queued without end, and nobody else is served meanwhile",
        _ANY,
        _settings,
        _WORKED_OFF,
    ),
    Client(
        "window-update-flood",
        "10,000 WINDOW_UPDATE by one byte",
        "RFC 9113, 10.5",
        "each of them wakes all streams",
        _ANY,
        _window_updates,
        _WORKED_OFF,
    ),
    Client(
        "empty-data-flood",
        "10,000 empty DATA before a message",
        "RFC 9113, 10.5 (CVE-2019-9518)",
        "no window bounds what has no bytes",
        _ANY,
        _empty_data,
        _WORKED_OFF,
        stream=FORGED,
    ),
    Client(
        "continuation-flood",
        "10,000 empty CONTINUATION, and a frame of another stream",
        "RFC 9113, 6.10 and 10.5 (CVE-2024-27316)",
        "a block of headers without end is never looked at, and never refused",
        frozenset({ENDED}),
        _continuations,
    ),
    Client(
        "beyond-the-window",
        "48 MiB of messages on a stream that takes one",
        "RFC 9113, 6.9.1: more than the window is FLOW_CONTROL_ERROR, of the stream or connection",
        "the window is all that bounds what one caller makes a service keep",
        frozenset({ENDED, REFUSED}),
        _beyond_the_window,
        stream=FORGED,
    ),
)
