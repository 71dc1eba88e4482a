"""A served process: what every role that listens at a socket has in common."""

import os
import signal
from pathlib import Path
from typing import Any

from grpc_health.v1 import health_pb2

from . import bounds
from .addresses import Address, UnixAddress
from .calls import Answer, Channel, Metadata
from .health import HEALTH, SERVING
from .judging import NonConformance, expect
from .processes import Exit, Process

READY = "readiness: the socket accepts and Check says SERVING"


class ServedProcess:
    """One running process that listens at a socket, and a channel of the suite's to it.

    Args:
        path: its Unix socket.
        process: the process, if the suite started it.
        grace: its `grace_period` in seconds.
        address: where the suite calls it; None: at its Unix socket.
        metadata: custom metadata of the suite's calls: its token, say.
    """

    NAME = ""
    """What its health is asked for by."""

    def __init__(
        self,
        path: Path,
        process: Process | None,
        grace: float,
        address: Address | None = None,
        metadata: Metadata = (),
    ) -> None:
        """Make a channel; nothing is sent before the first call."""
        self.path = path
        self._metadata = metadata
        self.address: Address = address or UnixAddress(path)
        self._process = process
        self.grace = grace
        self._channels: list[Channel] = []
        self.channel = self.connect()

    def __repr__(self) -> str:
        """Show where it is and what runs it."""
        return f"{type(self).__name__}({self.address}, {self._process})"

    @property
    def has_process(self) -> bool:
        """Whether the suite started it, and configured it; else it is attached."""
        return self._process is not None

    @property
    def process(self) -> Process:
        """The process that the suite started."""
        assert self._process is not None, "an attached service has no process of the suite's"  # noqa: S101
        return self._process

    def connect(
        self, *, address: Address | None = None, metadata: Metadata | None = None
    ) -> Channel:
        """Return another channel, with a connection of its own, closed by `hang_up`.

        Args:
            address: another one than its own.
            metadata: custom metadata of every call, in the place of the usual.
        """
        metadata = self._metadata if metadata is None else metadata
        channel = Channel(address or self.address, self._put_down, metadata)
        self._channels.append(channel)
        return channel

    async def hang_up(self, *, keep: Channel | None = None) -> None:
        """Close every channel of the suite's, but one that is to be kept."""
        for channel in self._channels:
            if channel is not keep:
                await channel.close()
        self._channels = [channel for channel in self._channels if channel is keep]

    async def ready(self, bound: float) -> None:
        """Wait until the socket accepts and Check says SERVING.

        Raises:
            NonConformance: the process ended first, or the bound (seconds) passed.
            Inconclusive: it passed, but the host let the process wait for a CPU.
        """

        async def serving() -> bool:
            if self._process is not None and not self._process.alive:
                raise NonConformance(
                    what=READY, expected="ready", observed=f"the process ended\n{self._story()}"
                )
            return self.accepts() and await self.serving()

        await bounds.until(serving, bound=bound, what=READY, seen=self._story)

    def accepts(self) -> bool:
        """Tell whether a connection to its address is accepted now."""
        return self.address.accepts()

    async def serving(self) -> bool:
        """Tell whether Check says SERVING for the service's name."""
        answer = await self.check()
        return bool(answer.code == "OK" and answer.response.status == SERVING)

    async def check(
        self, name: str | None = None, channel: Channel | None = None, **how: Any
    ) -> Answer:
        """Call grpc.health.v1.Health/Check, for its own name or another."""
        return await (channel or self.channel).unary(
            f"/{HEALTH}/Check",
            health_pb2.HealthCheckRequest(service=self.NAME if name is None else name),
            health_pb2.HealthCheckResponse,
            **how,
        )

    async def stop(self) -> Exit:
        """End the process by SIGTERM, which must be enough."""
        await self.hang_up()
        return await self.process.end(self.grace)

    async def kill(self) -> None:
        """End the process by SIGKILL."""
        await self.hang_up()
        await self.process.kill()

    async def lives(self) -> None:
        """Make sure that it still serves, by using it.

        Raises:
            NonConformance: it does not.
        """
        expect(await self.serving(), equals=True, what="whether Check says SERVING")

    def _ok(self, method: str, answer: Answer) -> Any:
        expect((answer.code, answer.message), equals=("OK", ""), what=f"status of {method}")
        return answer.response

    def _put_down(self) -> None:
        if self._process is not None and self._process.alive:
            os.kill(self._process.pid, signal.SIGKILL)

    def _story(self) -> str:
        return f"\n{self._process.story()}" if self._process is not None else f"at {self.address}"


def seconds(duration: str) -> float:
    """Return the seconds of a duration in ProtoJSON, such as `0.25s`."""
    return float(duration.removesuffix("s"))
