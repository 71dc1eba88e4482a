"""Clients of a peer: one on grpc.aio, and one by hand that reads and writes only when told."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import grpc
import h2.config
import h2.connection
import h2.events

from blackhole.conformance.v1 import probe_pb2 as pb
from blackhole.conformance.v1 import probe_pb2_grpc
from conformance.harness import bounds
from conformance.harness.arrivals import PROBE
from conformance.harness.calls import CHANNEL_OPTIONS
from conformance.harness.frames import framed

UNARY = f"/{PROBE}/Unary"

PING = framed(pb.UnaryRequest(payload=b"ping"))
"""The body of a request."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

BEGUN = PREFACE + bytes.fromhex("000000040000000000")
"""What a client sends before its first request: the preface, and empty SETTINGS."""

REQUESTS: dict[str, Any] = {
    "Unary": pb.UnaryRequest,
    "ServerStream": pb.ServerStreamRequest,
    "ClientStream": pb.ClientStreamRequest,
    "BidiStream": pb.BidiStreamRequest,
}


class Client:
    """Calls Probe over a channel of its own. Use as a context manager."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub: Any = probe_pb2_grpc.ProbeStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        del self._stub, self.channel

    async def call(
        self, *payloads: bytes, method: str = "Unary", timeout: float = 5.0, **how: Any
    ) -> tuple[str, list[bytes]]:
        """Return code and payloads."""
        ended, received = await self.full(*payloads, method=method, timeout=timeout, **how)
        return (await ended.code()).name, received

    async def full(
        self, *payloads: bytes, method: str = "Unary", timeout: float = 5.0, **how: Any
    ) -> tuple[Any, list[bytes]]:
        """Return the ended call, and payloads."""
        kind = REQUESTS[method]
        messages = [kind(payload=payload) for payload in payloads or (b"ping",)]
        streams = method in ("ClientStream", "BidiStream")
        call = getattr(self._stub, method)(
            iter(messages) if streams else messages[0], timeout=timeout, **how
        )
        received: list[bytes] = []
        with suppress(grpc.aio.AioRpcError):
            if method in ("ServerStream", "BidiStream"):
                async for message in call:
                    received.append(message.payload)  # noqa: PERF401 - what came counts
            else:
                # grpc.aio returns None where the answer cannot be read.
                answer = await call
                received += [answer.payload] if answer is not None else []
        return call, received

    async def batch(self, *items: bytes) -> list[bytes]:
        """Call Batch, and return its results."""
        return list((await self._stub.Batch(pb.BatchRequest(items=items), timeout=5.0)).results)


class Hand:
    """A connection by hand: h2 says what bytes mean, and nothing is done by itself."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.received = b""
        """Every byte that came."""
        self.events: list[h2.events.Event] = []
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        )

    async def __aenter__(self) -> Self:
        self._reader, self.writer = await asyncio.open_unix_connection(str(self._path))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    def greet(self) -> None:
        """Send the preface."""
        self.h2.initiate_connection()
        self.send()

    def send(self) -> None:
        """Send what h2 has for the peer."""
        self.writer.write(self.h2.data_to_send())

    def request(
        self,
        body: bytes = b"",
        *,
        path: str = UNARY,
        headers: Sequence[tuple[str, str]] = (),
        end: bool = True,
    ) -> int:
        """Send a request, and return the number of its stream."""
        stream = self.h2.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")]
        self.h2.send_headers(stream, [*pseudo, ("te", "trailers"), *headers])
        self.h2.send_data(stream, body, end_stream=end)
        self.send()
        return stream

    async def until(self, *kinds: type[h2.events.Event], acknowledge: bool = True) -> Any:
        """Read until an event of a kind came that was not returned before, and return it."""
        while not (found := [event for event in self.events if isinstance(event, kinds)]):
            async with asyncio.timeout(bounds.DEADLINE):
                data = await self._reader.read(1 << 16)
            assert data, f"the connection ended before {kinds}"
            self.received += data
            self.events += self.h2.receive_data(data)
            if acknowledge:
                self.acknowledge()
                self.send()
        self.events.remove(found[0])
        return found[0]

    def acknowledge(self) -> None:
        """Give back the window of all data that came."""
        for event in self.events:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                event.flow_controlled_length = 0

    async def rest(self) -> bytes:
        """Return all bytes that came until the connection ended."""
        with suppress(ConnectionResetError):
            async with asyncio.timeout(bounds.DEADLINE):
                while data := await self._reader.read(1 << 16):
                    self.received += data
        return self.received
