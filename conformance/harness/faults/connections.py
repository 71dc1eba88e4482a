"""One connection through a proxy: two sockets, and a direction each way."""

import asyncio
import base64
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

from . import ends
from .attributes import STREAMS, Settings
from .directions import Count, Direction


class Connection:
    """One connection.

    Args:
        number: from 1, in the order in which they were accepted.
        client: the socket that was accepted.
        counts: the proxy's bytes by stream, which this connection's are added to.
        seed: of its chance; the same connection with the same seed has the same luck.
        records: whether what is read is kept.
    """

    def __init__(
        self,
        number: int,
        client: socket.socket,
        counts: Mapping[str, Count],
        seed: str,
        *,
        records: bool,
    ) -> None:
        """Take charge of the socket."""
        self.number = number
        self._client = client
        self._totals = counts
        self._seed = f"{seed} {number}"
        self.counts = {stream: Count() for stream in STREAMS}
        self._records = {stream: bytearray() for stream in STREAMS} if records else {}
        self._directions: dict[str, Direction] = {}
        self._broken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.open = True

    def __repr__(self) -> str:
        """Show its number and bytes."""
        return f"Connection({self.number}, {'open' if self.open else 'over'}, {self.counts})"

    def told(self) -> dict[str, Any]:
        """Return what became of it, as the API tells it."""
        streams = {
            stream: count.told()
            | (
                {"data": base64.b64encode(self._records[stream]).decode()}
                if stream in self._records
                else {}
            )
            for stream, count in self.counts.items()
        }
        return {"number": self.number, "open": self.open, **streams}

    async def run(self, upstream: ends.End, toxics: Iterable[Settings]) -> None:
        """Connect to the other end, pass on what comes, and close both."""
        try:
            server = await ends.connect(upstream)
        except OSError:
            self.open = False
            ends.close(self._client, reset=False)
            return
        except BaseException:
            self.open = False
            self._client.close()
            raise
        ends.without_delay(self._client)
        for stream, (source, sink) in {
            "upstream": (self._client, server),
            "downstream": (server, self._client),
        }.items():
            self._directions[stream] = Direction(
                source,
                sink,
                (self.counts[stream], self._totals[stream]),
                self._records.get(stream),
                self._break,
            )
        for toxic in toxics:
            self.add(toxic)
        reset = False
        try:
            reset = await self._run()
        finally:
            self.open = False
            ends.close(self._client, reset=reset)
            ends.close(server, reset=reset)

    def add(self, toxic: Settings) -> None:
        """Have a toxic from now on, if chance will have it."""
        chance = Random(f"{self._seed} {toxic.name}")  # noqa: S311 - no secret
        if self._directions and chance.random() < toxic.toxicity:
            self._directions[toxic.stream].add(toxic, chance)

    def update(self, toxic: Settings) -> None:
        """Have a toxic with other attributes; if its toxicity is another, chance is asked anew."""
        if not self._directions:
            return
        direction = self._directions[toxic.stream]
        if not direction.has(toxic.name):
            self.add(toxic)
        elif Random(f"{self._seed} {toxic.name}").random() < toxic.toxicity:  # noqa: S311
            direction.update(toxic)
        else:
            direction.remove(toxic.name)

    def remove(self, name: str) -> None:
        """Have a toxic no more."""
        for direction in self._directions.values():
            direction.remove(name)

    async def _run(self) -> bool:
        """Wait until both directions are over, or one breaks; return whether by RST."""
        running: asyncio.Future[Any] = asyncio.gather(
            *(one.run() for one in self._directions.values())
        )
        either: set[asyncio.Future[Any]] = {running, self._broken}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        return self._broken.done() and self._broken.result()

    def _break(self, reset: bool) -> None:  # noqa: FBT001 - a callback's one argument
        if not self._broken.done():
            self._broken.set_result(reset)
