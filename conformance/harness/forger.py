"""The forger: a client of HTTP/2 that sends any bytes, and notes what comes back.

No state machine stands between it and the other side: it takes frames apart, and that is all.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import hpack
import hpack.exceptions

from . import bounds
from .addresses import Address
from .forged.record import AFTERWARDS, CONTROL, OPENING, Client, Ending, request
from .forged.wire import ACK, END_HEADERS, END_STREAM, PADDED, PRIORITIZED, Kind, data, frame
from .frames import framed
from .judging import did, expect

_HEADER = 9
"""Bytes of a frame's header (RFC 9113, 4.1)."""

_PIECE = 1 << 16
"""Bytes that are handed to the system at once."""


@dataclass(slots=True)
class Heard:
    """What came on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    """Headers and trailers together."""
    ended: bool = False
    reset: int | None = None
    """Error code of RST_STREAM."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.ended or self.reset is not None

    @property
    def ok(self) -> bool:
        """Whether the call on it succeeded."""
        return self.ended and self.headers.get("grpc-status") == "0"

    @property
    def told(self) -> str:
        """How it ended, in a word or two."""
        if self.reset is not None:
            return f"RST_STREAM {self.reset}"
        if not self.ended:
            return "open"
        status = self.headers.get("grpc-status")
        return f"grpc-status {status}" if status else f"HTTP {self.headers.get(':status')}"


class Forger:
    """One connection on which anything is sent. Use as a context manager.

    SETTINGS and PING that come are acknowledged, as a client does who means well.
    """

    def __init__(self, address: Address) -> None:
        """Remember where to connect."""
        self._address = address
        self._block = b""
        self._begun = False
        self._owed: list[bytes] = []
        self._decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self._changed = asyncio.Condition()
        self.streams: defaultdict[int, Heard] = defaultdict(Heard)
        """By number."""
        self.pongs: list[bytes] = []
        """What came back of each PING."""
        self.goaway: int | None = None
        """Error code of the last GOAWAY that came."""
        self.closed = False
        """Whether the other side closed the connection."""

    def __repr__(self) -> str:
        """Show what came."""
        streams = {number: heard.told for number, heard in list(self.streams.items())[:8]}
        return (
            f"Forger(closed={self.closed}, goaway={self.goaway}, {len(self.pongs)} pongs,"
            f" {len(self.streams)} streams, the first {streams})"
        )

    @property
    def over(self) -> bool:
        """Whether the other side has ended the connection, or said that it does for a fault."""
        return self.closed or bool(self.goaway)

    async def __aenter__(self) -> Self:
        """Connect, and say nothing."""
        self._reader, self._writer = await self._address.connect()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection without a word."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def send(self, parts: Iterable[bytes]) -> None:
        """Send bytes as fast as they are taken, until all are sent or the connection is over."""
        pending = bytearray()
        with suppress(OSError):
            for part in parts:
                pending += part
                if len(pending) < _PIECE:
                    continue
                self._writer.write(bytes(pending))
                pending.clear()
                await self._writer.drain()
                if self.over:
                    return
            self._writer.write(bytes(pending))
            await self._writer.drain()

    async def greet(self) -> None:
        """Begin as a client does who means well, and make a call that must succeed.

        Raises:
            NonConformance: it does not.
        """
        self._begun = True
        await self.send([OPENING, *self._owed, *_check(CONTROL)])
        await self.seen(
            lambda: self.over or self.streams[CONTROL].over,
            bound=bounds.DEADLINE,
            what="end of Check on a connection on which nothing is broken",
        )
        told = self.streams[CONTROL].told
        expect(told, equals="grpc-status 0", what="Check before anything is broken")

    async def forge(self, case: Client) -> Ending:
        """Send what is broken, and a call after it; return how both are taken.

        Raises:
            NonConformance: it is not read; or neither it nor its connection is ended.
            Inconclusive: the same, but the host kept the other side waiting.
        """
        did(f"sent {case.what} ({case.rule}; taken wrongly, {case.effect})")
        await self._sent(case.parts(), case)
        if not case.opens:
            await self._ended(lambda: False, case)
            return Ending.ENDED
        await self._sent(_check(AFTERWARDS), case)
        await self._ended(lambda: self.streams[AFTERWARDS].over, case)
        judged = self.streams[AFTERWARDS if case.stream is None else case.stream]
        # gRPC C-core takes its time to reset a stream: 0.1 to 0.9 s (measured).
        await self._ended(lambda: judged.over, case)
        if self.over:
            return Ending.ENDED
        return Ending.TOLERATED if judged.ok else Ending.REFUSED

    async def _sent(self, parts: Iterable[bytes], case: Client) -> None:
        begin = time.monotonic()
        try:
            async with asyncio.timeout(bounds.DEADLINE + bounds.JITTER.seconds):
                await self.send(parts)
        except TimeoutError:
            what = f"{case.what}: all of it is read, or the connection is ended"
            bounds.late(what, bound=bounds.DEADLINE, since=begin, seen=lambda: self)

    async def _ended(self, fact: Callable[[], bool], case: Client) -> None:
        await self.seen(
            lambda: self.over or fact(),
            bound=bounds.DEADLINE,
            what=f"end of a connection with {case.what}, or of the calls on it",
        )

    async def seen(self, fact: Callable[[], bool], *, bound: float, what: str) -> None:
        """Wait until what came makes the fact hold.

        Raises:
            NonConformance: it did not within `bound` seconds.
            Inconclusive: it did not, but the host kept the other side waiting.
        """
        begin = time.monotonic()
        try:
            async with asyncio.timeout(bound + bounds.JITTER.seconds), self._changed:
                await self._changed.wait_for(fact)
        except TimeoutError:
            bounds.late(what, bound=bound, since=begin, seen=lambda: self)

    async def _read(self) -> None:
        rest = b""
        with suppress(OSError, hpack.exceptions.HPACKError):
            while came := await self._reader.read(_PIECE):
                rest = self._take_all(rest + came)
                await self._tell()
        self.closed = True
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _take_all(self, came: bytes) -> bytes:
        """Take the whole frames at the beginning, and return the rest."""
        start = 0
        while len(came) - start >= _HEADER:
            end = start + _HEADER + int.from_bytes(came[start : start + 3], "big")
            if len(came) < end:
                break
            stream = int.from_bytes(came[start + 5 : start + _HEADER], "big")
            self._take(came[start + 3], came[start + 4], stream, came[start + _HEADER : end])
            start = end
        return came[start:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        match kind:
            case Kind.PING if flags & ACK:
                self.pongs.append(payload)
            case Kind.PING | Kind.SETTINGS if not flags & ACK:
                self._acknowledge(frame(kind, payload if kind == Kind.PING else b"", flags=ACK))
            case Kind.GOAWAY:
                self.goaway = int.from_bytes(payload[4:8], "big")
            case Kind.RST_STREAM:
                self.streams[stream].reset = int.from_bytes(payload, "big")
            case Kind.HEADERS | Kind.CONTINUATION:
                self._take_block(kind, flags, stream, payload)
        if kind in (Kind.DATA, Kind.HEADERS) and flags & END_STREAM:
            self.streams[stream].ended = True

    def _acknowledge(self, answer: bytes) -> None:
        """Send an acknowledgement; not before the preface, which comes first."""
        if self._begun:
            self._writer.write(answer)
        else:
            self._owed.append(answer)

    def _take_block(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == Kind.HEADERS and flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if kind == Kind.HEADERS and flags & PRIORITIZED:
            payload = payload[5:]
        self._block += payload
        if flags & END_HEADERS:
            fields, self._block = self._decoder.decode(self._block), b""
            self.streams[stream].headers |= {str(name): str(value) for name, value in fields}


def _check(stream: int) -> tuple[bytes, bytes]:
    """Return what a call of Check is, for the process as a whole."""
    return request(stream), data(stream, framed(b""), end=True)
