"""Performs a reply on a stream: steps in, gRPC frames out."""

import asyncio
import base64
import gzip
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from .arrivals import METHODS, Arrival
from .calls import Metadata
from .frames import framed
from .judging import NonConformance
from .peer_connection import Stream
from .replies import Drop, Echo, End, Forge, Part, Pause, Raw, Reply, Reset, Say, fails

_INTERACTIVE = "BidiStream"
"""The method whose messages are echoed as they come."""

_ONE_ANSWER = frozenset({"Unary", "ClientStream"})
"""Methods with exactly one message in the answer, besides Batch, whose message holds all."""

_HEADERS = (
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("grpc-accept-encoding", "identity,deflate,gzip"),
)


async def answer(stream: Stream, reply: Reply, released: Callable[[], Any] | None = None) -> None:
    """Answer a call, once its request is complete and, if it is held, released.

    Args:
        stream: where the call came.
        reply: what to do.
        released: returns what to await before an answer that `awaits_release`.
    """
    arrival = stream.arrival
    await stream.greeted()
    if not (reply.echoes and arrival.method == _INTERACTIVE):
        await _complete(stream)
    if reply.awaits_release and released is not None:
        await released()
    if any(message.problem for message in arrival.messages) and reply.echoes:
        reply = fails("UNIMPLEMENTED", "what came cannot be decompressed")
    answering = Answering(stream, reply)
    try:
        await answering.perform_all(reply)
    except NonConformance as problem:
        # What came is not of the method's type, so there is nothing to echo.
        await answering.perform_all(fails("INTERNAL", str(problem)))


class Answering:
    """One answer that is being given."""

    def __init__(self, stream: Stream, reply: Reply | None = None) -> None:
        """Begin, with the headers of a reply; nothing is sent yet."""
        self._stream = stream
        self._arrival = stream.arrival
        self._initial = reply.initial if reply else ()
        self._gzip = reply is not None and reply.compresses
        self._headers_sent = False

    async def perform_all(self, reply: Reply) -> None:
        """Perform the steps of a reply."""
        for step in reply.steps:
            await self.perform(step)
        self._stream.flush()

    async def perform(self, step: Any) -> None:
        """Perform one step; what ends the answer is noted just before it is written."""
        match step:
            case Pause(seconds=seconds):
                self._stream.flush()
                await asyncio.sleep(seconds)
            case Echo():
                await self._echo()
            case Say(payloads=payloads, gzip=compressed):
                for body in _bodies(self._arrival, payloads):
                    await self._send(framed(gzip.compress(body), compressed=True)
                                     if compressed else framed(body))  # fmt: skip
            case Raw(body=body):
                await self._send(framed(body))
            case Part(count=count, payload=payload):
                (body,) = _bodies(self._arrival, (payload,))
                await self._send(framed(body)[:count])
            case End():
                self._end(step)
            case Reset() | Drop() | Forge():
                await self._break_off(step)

    async def _break_off(self, step: Reset | Drop | Forge) -> None:
        self._ending()
        match step:
            case Reset(error_code=code):
                self._stream.reset(code)
            case Drop():
                self._stream.drop()
            case Forge(parts=parts):
                await self._stream.forge(parts)

    async def _echo(self) -> None:
        arrival = self._arrival
        if arrival.method != _INTERACTIVE:
            payloads = arrival.payloads
            if arrival.method == "ClientStream":
                payloads = (b"".join(payloads),)
            await self.perform(Say(payloads))
            return
        sent = 0
        while arrival.complete is None or sent < len(arrival.messages):
            if sent < len(arrival.messages):
                await self.perform(Say(arrival.payloads_of(arrival.messages[sent])))
                sent += 1
            else:
                self._stream.flush()
                await self._stream.changed()

    async def _send(self, data: bytes) -> None:
        if not self._headers_sent:
            self._headers_sent = True
            encoding = (("grpc-encoding", "gzip"),) if self._gzip else ()
            self._stream.headers((*_HEADERS, *encoding, *_entries(self._initial)))
        await self._stream.data(data)

    def _end(self, end: End) -> None:
        trailers = [("grpc-status", str(end.code))]
        if end.message:
            trailers.append(("grpc-message", quote(end.message, safe=_UNESCAPED)))
        if end.details:
            trailers.append(("grpc-status-details-bin", _base64(end.details)))
        trailers += _entries(end.metadata)
        if self._initial and not self._headers_sent:
            self._headers_sent = True
            self._stream.headers((*_HEADERS, *_entries(self._initial)))
        self._ending()
        self._stream.headers(trailers if self._headers_sent else (*_HEADERS, *trailers), end=True)

    def _ending(self) -> None:
        """Note that the end of the answer is written next, if anything is written at all."""
        if not self._stream.muted:
            self._arrival.answered = time.monotonic()


async def _complete(stream: Stream) -> None:
    while stream.arrival.complete is None:
        await stream.changed()


def _bodies(arrival: Arrival, payloads: tuple[bytes, ...]) -> Iterable[bytes]:
    """Return the messages, serialized, that bring these payloads."""
    kind: Any = METHODS[arrival.path].response
    if arrival.method == "Batch":
        return [kind(results=payloads).SerializeToString()]
    if not payloads and arrival.method in _ONE_ANSWER:
        payloads = (b"",)
    return [kind(payload=payload).SerializeToString() for payload in payloads]


_UNESCAPED = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
"""What stands for itself in `grpc-message` (gRPC over HTTP/2, "Responses")."""


def _entries(metadata: Metadata) -> list[tuple[str, str]]:
    return [
        (name, _base64(value) if isinstance(value, bytes) else value) for name, value in metadata
    ]


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")
