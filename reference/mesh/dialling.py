"""Dialling: a gRPC channel that is one connection, and known to be connected.

gRPC's own channels connect when they like and reconnect with a backoff of their
own. The pool wants to know: so each channel has its own subchannel, and one that
is not connected any more is not used again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from ..config.client import Pool
from .channels import PLAINTEXT, Channels
from .errors import UnavailableError
from .health import CHECK

SHORTEST_BACKOFF = 100
"""Milliseconds: gRPC takes no fewer. Its own default is 1 s, which nothing here waits for."""

NOBODY = "connect to remote host"
"""What gRPC says where there was nobody to shake hands with."""

FAREWELL = 1.0
"""Seconds for calls on a broken connection to learn that it broke; they know at once."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service that is called."""

    path: str
    """`/package.Service/Method`."""
    request_streaming: bool
    response_streaming: bool
    serialize: Callable[[Any], bytes]
    deserialize: Callable[[bytes], Any]


@dataclass(slots=True, eq=False)
class GrpcConnection:
    """One connection, with the callables of its methods."""

    channel: Any
    _callables: dict[str, Any] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether it is connected."""
        return bool(self.channel.get_state() is grpc.ChannelConnectivity.READY)

    def callable(self, method: Method) -> Any:
        """Return what calls a method, made at its first call."""
        if (found := self._callables.get(method.path)) is None:
            kinds = {
                (False, False): self.channel.unary_unary,
                (False, True): self.channel.unary_stream,
                (True, False): self.channel.stream_unary,
                (True, True): self.channel.stream_stream,
            }
            make = kinds[method.request_streaming, method.response_streaming]
            # Serialized by the client already, who has to know the size.
            found = make(method.path, response_deserializer=method.deserialize)
            self._callables[method.path] = found
        return found

    async def close(self) -> None:
        """Close it. Calls that learn just now that it broke may end by themselves."""
        await self.channel.close(FAREWELL if not self.ready else None)


class Dialler:
    """Makes connections.

    Args:
        settings: durations in seconds.
        max_message_bytes: largest message in either direction.
        channels: makes them.
    """

    def __init__(
        self, settings: Pool, max_message_bytes: int, channels: Channels = PLAINTEXT
    ) -> None:
        """Remember how."""
        self._channels = channels
        self._timeout = settings.connect_timeout
        connect, ping = _milliseconds(settings.connect_timeout), _milliseconds(settings.keep_alive)
        self._options = (
            ("grpc.use_local_subchannel_pool", 1),
            # Retries are ours: gRPC's own clamp, jitter, and know no breaker.
            ("grpc.enable_retries", 0),
            # Both bound the connecting, which the larger of them ends: also where its channel was
            # closed meanwhile (POOL-10).
            ("grpc.min_reconnect_backoff_ms", connect),
            ("grpc.initial_reconnect_backoff_ms", SHORTEST_BACKOFF),
            ("grpc.keepalive_time_ms", ping),
            ("grpc.keepalive_timeout_ms", connect),
            # What really bounds the answer to a ping; the one above bounds TCP's alone.
            ("grpc.http2.ping_timeout_ms", connect),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
        )

    async def __call__(self, address: str) -> GrpcConnection:
        """Connect: the other side's SETTINGS have arrived.

        Raises:
            UnavailableError: it refused, or did not answer within `connect_timeout` (POOL-8); or
                one side refused the other's certificate (TLS-6).
        """
        channel = self._channels.open(address, self._options)
        try:
            async with asyncio.timeout(self._timeout):
                await _connected(channel, address, encrypted=self._channels.encrypts(address))
        except TimeoutError:
            await channel.close()
            raise UnavailableError(
                f"no connection to {address} within {self._timeout:g} s"
            ) from None
        except BaseException:
            await channel.close()
            raise
        return GrpcConnection(channel)


async def _connected(channel: Any, address: str, *, encrypted: bool) -> None:
    while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            why = await _reason(channel) if encrypted else "refused, or no HTTP/2 there"
            raise UnavailableError(f"no connection to {address}: {why}")
        await channel.wait_for_state_change(state)


async def _reason(channel: Any) -> str:
    """Return why TLS to a port has failed just now: a call is told at once."""
    try:
        await channel.unary_unary(CHECK)(b"")
    except grpc.aio.AioRpcError as error:
        why = (error.details() or "").rpartition("last error: ")[2]
        return why if NOBODY in why else f"the TLS handshake failed: {why}"
    # By now it would succeed, but the caller was promised one attempt.
    return "the TLS handshake failed once"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
