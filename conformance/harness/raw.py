"""HTTP/2 by hand: calls held half-sent, headers that no gRPC library would send.

Built on h2 for the state of the connection; what is sent on a stream is up to
the caller.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from google.protobuf.message import Message

from . import bounds
from .addresses import Address
from .frames import GoawayFilter, call_headers, framed, unframed
from .judging import NonConformance

__all__ = ["HeldCall", "RawAnswer", "RawConnection", "framed"]

Header = tuple[str, str | bytes]


@dataclass(slots=True)
class RawAnswer:
    """What arrived on one stream so far."""

    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    ended: bool = False
    reset: int | None = None
    """Error code of RST_STREAM."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.ended or self.reset is not None

    @property
    def grpc_status(self) -> str | None:
        """The `grpc-status`, wherever it stood."""
        return self.trailers.get("grpc-status", self.headers.get("grpc-status"))

    def frames(self) -> list[tuple[bool, bytes]]:
        """Return compressed flag and bytes of the whole messages in the body, as they came."""
        return unframed(self.body)[0]

    def messages(self) -> list[bytes]:
        """Return the whole messages in the body, without their prefixes."""
        return [message for _, message in self.frames()]


class RawConnection:
    """One HTTP/2 connection to an address.

    Use as a context manager. Frames are read in the background, and answered
    where HTTP/2 asks for it (SETTINGS, PING, flow control).

    Args:
        address: where to connect.
        shut: give no window back for what comes, until `open_up`: once the first window is
            used up (65,535 bytes), nothing more can be sent here.
    """

    def __init__(self, address: Address, *, shut: bool = False) -> None:
        """Remember where to connect."""
        self._address = address
        self._shut = shut
        self._withheld: Counter[int] = Counter()
        """Bytes of window that were not given back, by stream."""
        self._answers: dict[int, RawAnswer] = {}
        self.closed = False
        """Whether the peer closed the connection."""
        self.pongs: list[bytes] = []
        """What came back of each `ping`."""
        self._frames = GoawayFilter()
        self._changed = asyncio.Condition()
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding="latin-1",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )

    def __repr__(self) -> str:
        """Show the connection and its streams, of each the bytes that came."""
        streams = {
            f"{stream}: {len(found.body)} bytes": found for stream, found in self._answers.items()
        }
        return f"RawConnection(closed={self.closed}, goaway={self.goaway}, {streams})"

    @property
    def first_frame(self) -> int | None:
        """Type of the first frame that came."""
        return self._frames.first_frame

    @property
    def goaway(self) -> bool:
        """Whether GOAWAY came."""
        return self._frames.goaway

    async def __aenter__(self) -> Self:
        """Connect and send the preface."""
        self._reader, self._writer = await self._address.connect()
        self._h2.initiate_connection()
        self._reading = asyncio.create_task(self._read())
        await self._flush()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection without a word."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        # Not `close`: with TLS that waits half a minute for the other side's farewell.
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def begin(self, path: str, metadata: Sequence[Header] = ()) -> int:
        """Send the headers of a gRPC call, and return its stream ID."""
        stream = self._h2.get_next_available_stream_id()
        self._answers[stream] = RawAnswer()
        self._h2.send_headers(stream, [*call_headers(path), *metadata])
        await self._flush()
        return stream

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send bytes on a stream as the peer's flow control allows, until its answer is over.

        Raises:
            NonConformance: the peer lets nothing be sent.
        """
        sent = 0
        # Who was reset has nothing more to say.
        with suppress(h2.exceptions.StreamClosedError):
            while not self._over(stream):
                window = max(0, self._h2.local_flow_control_window(stream))
                part = data[sent : sent + min(window, self._h2.max_outbound_frame_size)]
                sent += len(part)
                if part or not data:
                    self._h2.send_data(stream, part, end_stream=end and sent == len(data))
                await self._flush()
                if sent == len(data):
                    break
                await self._allowed(stream)

    async def _allowed(self, stream: int) -> None:
        """Wait until flow control lets more be sent on a stream, or there is no use in it."""
        await self.seen(
            lambda: self._over(stream) or self._h2.local_flow_control_window(stream) > 0,
            bound=bounds.DEADLINE,
            what=f"room to send on stream {stream}",
        )

    def _over(self, stream: int) -> bool:
        return self._answers[stream].over or self.closed

    async def call(self, path: str, data: bytes, metadata: Sequence[Header] = ()) -> RawAnswer:
        """Send a whole request, and wait for the end of its answer."""
        stream = await self.begin(path, metadata)
        await self.send(stream, data, end=True)
        return await self.over(stream)

    async def hold(self, path: str, request: Message) -> "HeldCall":
        """Begin a call, send the first half of its message, and withhold the rest.

        Returns once a Check that was sent after it on the same connection is answered: the
        service has the held call then.
        """
        body = framed(request)
        stream = await self.begin(path)
        await self.send(stream, body[: len(body) // 2])
        check = await self.begin("/grpc.health.v1.Health/Check")
        await self.send(check, framed(b""), end=True)
        await self.over(check)
        return HeldCall(self, stream, body[len(body) // 2 :])

    async def ping(self, data: bytes) -> None:
        """Send PING with eight bytes, and wait until it is answered, or the connection ended."""
        count = len(self.pongs)
        self._h2.ping(data)
        await self._flush()
        await self.seen(
            lambda: len(self.pongs) > count or self.goaway or self.closed,
            bound=bounds.PROMPT,
            what=f"the answer to PING {data!r}",
        )

    async def cancel(self, stream: int) -> None:
        """Reset a stream with CANCEL."""
        self._h2.reset_stream(stream, error_code=8)
        await self._flush()

    async def open_up(self) -> None:
        """Give the window back that was withheld, and from now on at once."""
        self._shut = False
        self._give_back()
        await self._flush()

    def answer(self, stream: int) -> RawAnswer:
        """Return what arrived on a stream so far."""
        return self._answers[stream]

    async def over(self, stream: int, bound: float = bounds.DEADLINE) -> RawAnswer:
        """Wait for the end of a stream, or of the connection."""
        await self.seen(
            lambda: self._over(stream),
            bound=bound,
            what=f"end of stream {stream}",
        )
        return self._answers[stream]

    async def seen(self, fact: Callable[[], bool], *, bound: float, what: str) -> None:
        """Wait until something that came in makes the fact hold.

        Raises:
            NonConformance: it did not within `bound` seconds.
        """
        try:
            async with asyncio.timeout(bound + bounds.JITTER.seconds), self._changed:
                await self._changed.wait_for(fact)
        except TimeoutError:
            raise NonConformance(
                what=what, expected=f"within {bound:g} s", observed=repr(self)
            ) from None

    async def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
        with suppress(OSError):
            await self._writer.drain()

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(1 << 16):
                events = self._h2.receive_data(self._frames.feed(data))
                async with self._changed:
                    for event in events:
                        self._take(event)
                    self._changed.notify_all()
                await self._flush()
        except (OSError, h2.exceptions.ProtocolError):
            pass
        async with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _give_back(self) -> None:
        """Give the window back for everything that came."""
        for stream, length in self._withheld.items():
            self._h2.acknowledge_received_data(length, stream)
        self._withheld.clear()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.PingAckReceived):
            self.pongs.append(event.ping_data)
        stream = getattr(event, "stream_id", None)
        if not stream or stream not in self._answers:
            return
        answer = self._answers[stream]
        match event:
            case h2.events.ResponseReceived(headers=headers):
                answer.headers |= _texts(headers)
            case h2.events.TrailersReceived(headers=headers):
                answer.trailers |= _texts(headers)
            case h2.events.DataReceived(data=data):
                answer.body += data
                self._withheld[stream] += event.flow_controlled_length
                if not self._shut:
                    self._give_back()
            case h2.events.StreamEnded():
                answer.ended = True
            case h2.events.StreamReset():
                answer.reset = int(event.error_code)


class HeldCall:
    """A call in flight for as long as the suite likes: its request is only half sent."""

    def __init__(self, connection: RawConnection, stream: int, rest: bytes) -> None:
        """Remember what is withheld."""
        self._connection = connection
        self._rest = rest
        self.stream = stream

    @property
    def answer(self) -> RawAnswer:
        """What arrived so far."""
        return self._connection.answer(self.stream)

    async def release(self) -> RawAnswer:
        """Send the rest, and wait for the answer."""
        await self._connection.send(self.stream, self._rest, end=True)
        return await self._connection.over(self.stream)


def _texts(headers: Sequence[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in headers}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
