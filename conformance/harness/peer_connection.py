"""One connection that the peer serves: HTTP/2 in and out, by h2. It knows no gRPC.

A protocol of asyncio's, not a pair of streams: what comes is noted in the very callback that
brings it, and a connection costs no task.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from .arrivals import Arrival, Connection, TLSSession
from .frames import PREFACE, GoawayFilter
from .judging import did

_WINDOW = 1 << 22
"""Bytes that a client may send on a stream before it hears from the peer: enough for any test."""

_STREAMS = 1 << 16
"""Streams at once: never a limit, because limits are what tests are about."""

_HEADERS = 1 << 20
"""Bytes of headers that a call may bring: the same."""

_SETTINGS = {
    h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: _STREAMS,
    h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
    h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: _HEADERS,
}

Serve = Callable[["Stream"], Coroutine[Any, Any, None]]


class Stream:
    """One request stream: what came stands in `arrival`; what goes is sent here.

    What is sent leaves with `flush`, or when there is much of it.
    """

    def __init__(self, connection: "PeerConnection", number: int, arrival: Arrival) -> None:
        """Begin with the headers that came."""
        self._connection = connection
        self._number = number
        self._waiter: asyncio.Future[None] | None = None
        self.arrival = arrival
        self.task: asyncio.Task[None] | None = None

    @property
    def muted(self) -> bool:
        """Whether nothing that is sent leaves."""
        return self._connection.muted

    async def greeted(self) -> None:
        """Wait until the peer's side of the connection was begun."""
        await self._connection.greeted.wait()

    async def changed(self) -> None:
        """Wait until something came on this stream, or more can be sent on it."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def wake(self) -> None:
        """End the wait of `changed`."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def headers(self, headers: Sequence[tuple[str, str]], *, end: bool = False) -> None:
        """Send a block of headers; one that ends the stream leaves at once."""
        self._connection.h2.send_headers(self._number, headers, end_stream=end)
        if end:
            self.flush()

    async def data(self, data: bytes) -> None:
        """Send bytes, as the client's flow control and the socket's buffer allow."""
        connection, start = self._connection, 0
        while start < len(data):
            window = connection.h2.local_flow_control_window(self._number)
            room = min(window, connection.h2.max_outbound_frame_size, len(data) - start)
            if room <= 0 or connection.full:
                self.flush()
                await self.changed()
                continue
            connection.h2.send_data(self._number, data[start : start + room])
            start += room
            if start < len(data):
                self.flush()

    async def forge(self, parts: Callable[[int], Iterable[bytes]]) -> None:
        """Send any bytes, told the number of the stream, as the socket's buffer allows.

        What h2 knows of the connection does not change by them.
        """
        self.flush()
        for part in parts(self._number):
            while self._connection.full:
                await self.changed()
            self._connection.write(part)

    def reset(self, error_code: int) -> None:
        """Send RST_STREAM."""
        self._connection.h2.reset_stream(self._number, error_code)
        self.flush()

    def drop(self) -> None:
        """Close the whole connection, after what was sent."""
        self.flush()
        self._connection.close()

    def flush(self) -> None:
        """Let what was sent leave."""
        self._connection.flush()


class PeerConnection(asyncio.Protocol):
    """The peer's side of one connection.

    Args:
        accepted: is told the connection, and returns the record to keep.
        serve: called with each request stream when its headers came; what it returns runs as a
            task, which is cancelled when the client resets the stream or the connection ends.
        failed: is told an error of the task's, which is one of the suite's own.
        greeting: `normal`, `silent` (never writes), `closing` (closes at once), or bytes to
            write in place of HTTP/2.
        greet_after: seconds before anything is written.
    """

    def __init__(
        self,
        accepted: Callable[["PeerConnection"], Connection],
        serve: Serve,
        failed: Callable[[BaseException], object],
        *,
        greeting: str | bytes = "normal",
        greet_after: float = 0.0,
    ) -> None:
        """Make the protocol; asyncio connects it."""
        self._accepted = accepted
        self._serve = serve
        self._failed = failed
        self._greeting = greeting
        self._greet_after = greet_after
        self._streams: dict[int, Stream] = {}
        self._frames = GoawayFilter(preface=PREFACE)
        self._timer: asyncio.TimerHandle | None = None
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        )
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=_SETTINGS)
        self.h2.decoder.max_header_list_size = _HEADERS
        self.muted = greeting != "normal"
        self.full = False
        """Whether the socket takes no more for now."""
        self.greeted = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection, and greet it."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.record = self._accepted(self)
        if (tls := transport.get_extra_info("ssl_object")) is not None:
            self.record.tls = _session(tls)
        self.h2.initiate_connection()
        if self._greet_after:
            self._timer = asyncio.get_running_loop().call_later(self._greet_after, self.greet)
        else:
            self.greet()

    def data_received(self, data: bytes) -> None:
        """Note what came, answer where HTTP/2 asks for it, and wake who waits for it."""
        now = time.monotonic()
        self.record.received += len(data)
        try:
            for event in self.h2.receive_data(self._frames.feed(data)):
                self._take(event, now)
        except h2.exceptions.ProtocolError as error:
            self.record.problem = f"{type(error).__name__}: {error}"
            self.flush()
            self.close()
            return
        self.flush()

    def pause_writing(self) -> None:
        """Send no more: the client does not read."""
        self.full = True

    def resume_writing(self) -> None:
        """Send again."""
        self.full = False
        self._wake_all()

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end; nothing more is answered."""
        del error
        self.record.closed = time.monotonic()
        self.record.ended_by = self.record.ended_by or "client"
        if self._timer is not None:
            self._timer.cancel()
        self._cancel_all()
        self.lost.set()

    def greet(self) -> None:
        """Begin the peer's side, if it was not begun yet."""
        if self.greeted.is_set() or self.lost.is_set():
            return
        self.greeted.set()
        if isinstance(self._greeting, bytes):
            self._transport.write(self._greeting)
        self.flush()
        if self._greeting == "closing":
            self.close()

    def flush(self) -> None:
        """Write what was sent; a muted connection forgets it."""
        if not self.greeted.is_set():
            return
        self.write(self.h2.data_to_send())

    def write(self, data: bytes) -> None:
        """Write bytes as they are; a muted connection forgets them."""
        if data and not self.muted and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection, after what was written."""
        self._end_by_peer()
        self._cancel_all()
        self._transport.close()

    def end(self) -> None:
        """Write no more, and close the connection once the client has closed its side."""
        self._end_by_peer()
        self.muted = True
        if not self._transport.is_closing():
            self._transport.write_eof()

    def abort(self) -> None:
        """Close the connection at once."""
        self._end_by_peer()
        self._transport.abort()

    async def tasks_done(self) -> None:
        """Wait for the end of every answer, once the connection is lost."""
        tasks = [stream.task for stream in self._streams.values() if stream.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end_by_peer(self) -> None:
        if self.record.closed is None and not self._transport.is_closing():
            self.record.ended_by = "peer"

    def _take(self, event: h2.events.Event, now: float) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=number, headers=headers):
                self._begin(number, headers, now)
            case h2.events.DataReceived(stream_id=number, flow_controlled_length=length) if length:
                self.h2.acknowledge_received_data(length, number)
            case h2.events.PingReceived():
                self.record.pings.append(now)
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._wake_all()
        if stream := self._streams.get(getattr(event, "stream_id", None) or 0):
            self._take_on(stream, event, now)
            stream.wake()

    def _take_on(self, stream: Stream, event: h2.events.Event, now: float) -> None:
        match event:
            case h2.events.DataReceived(data=data):
                stream.arrival.take(data)
            case h2.events.StreamEnded():
                stream.arrival.complete = now
            case h2.events.StreamReset(remote_reset=True):
                self._cancelled(stream, now)

    def _begin(self, number: int, headers: Any, now: float) -> None:
        arrival = Arrival(
            path=next((value for name, value in headers if name == ":path"), ""),
            connection=self.record,
            time=now,
            headers=tuple((str(name), str(value)) for name, value in headers),
        )
        self.record.paths.append(arrival.path)
        stream = self._streams[number] = Stream(self, number, arrival)
        stream.task = asyncio.create_task(self._serve(stream))
        stream.task.add_done_callback(lambda task: self._ended(number, task))

    def _cancelled(self, stream: Stream, now: float) -> None:
        if stream.arrival.answered is None:
            stream.arrival.cancelled = now
            did(f"the peer saw a cancelled {stream.arrival.method}")
        if stream.task is not None:
            stream.task.cancel()

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._failed(error)
        if self._streams[number].arrival.answered is not None:
            del self._streams[number]

    def _cancel_all(self) -> None:
        for stream in self._streams.values():
            if stream.task is not None:
                stream.task.cancel()

    def _wake_all(self) -> None:
        for stream in self._streams.values():
            stream.wake()


def _session(tls: ssl.SSLObject) -> TLSSession:
    """Return what was agreed in a handshake in which the client showed a certificate."""
    shown: Any = tls.getpeercert()
    return TLSSession(
        tls.version() or "", tls.selected_alpn_protocol() or "", int(shown["serialNumber"], 16)
    )
