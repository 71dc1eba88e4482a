"""Whether every copy of every event is accounted for: `python -m benchmarks.fan_out`.

The events service of the reference runs as a process of its own. A thousand subscribers of one
type are at it; a part of them reads all the while, the others nothing before the last event was
published. What the answers of Publish tell as delivered and as dropped, what the subscribers got,
and what the service counted in its log is added up, and must agree to the last one.
"""

import argparse
import asyncio
import itertools
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from blackhole.events.v1 import events_pb2 as pb
from blackhole.events.v1 import events_pb2_grpc

TYPE = "benchmark"
PAYLOAD = b"x" * 1024

STREAMS = 100
"""Subscriptions that share a connection."""

PUBLISHERS = 4
"""Calls of Publish at once."""

BOUND = 300.0
"""Seconds until it is given up: several times what it takes on two busy cores."""

LAST = "last"
"""ID of an event that everybody gets, after all others."""


@dataclass
class Told:
    """What the answers of Publish say, added up."""

    delivered: int = 0
    dropped: int = 0


@dataclass
class Subscriber:
    """One subscription, and the IDs of what it got."""

    call: Any
    ids: list[str] = field(default_factory=list)

    async def read(self) -> None:
        """Read up to the last event."""
        while LAST not in self.ids[-1:]:
            self.ids.append((await self.call.read()).id)


def main() -> None:
    """Run it and print the sums; exit 1 if they do not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--reading", type=int, default=50, help="of them read all the while")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bh") as directory:
        run = fan_out(Path(directory), options.subscribers, options.events, options.reading)
        sys.exit(asyncio.run(asyncio.wait_for(run, BOUND)))


async def fan_out(directory: Path, subscribers: int, events: int, reading: int) -> str | None:
    """Run it and print the sums; return what is wrong with them."""
    begin = time.monotonic()
    async with serving(directory) as socket, channels(socket, subscribers) as all_channels:
        everybody = [await subscribed(next(all_channels)) for _ in range(subscribers)]
        readers = [asyncio.create_task(one.read()) for one in everybody[:reading]]
        told = await published(next(all_channels), events)
        seconds = time.monotonic() - begin
        readers += [asyncio.create_task(one.read()) for one in everybody[reading:]]
        while sum(len(one.ids) for one in everybody) < told.delivered:  # noqa: ASYNC110 - BOUND
            await asyncio.sleep(0.01)
        last = await publish(next(all_channels), LAST)
        await asyncio.gather(*readers)
    got = sum(len(one.ids) - 1 for one in everybody)
    distinct = sum(len({*one.ids} - {LAST}) for one in everybody)
    counted = total_of((directory / "log").read_text(encoding="utf-8"))
    print(
        f"{subscribers} subscribers, {reading} of them reading all the while, {events} events, "
        f"published in {seconds:.1f} s",
        f"copies asked for        {subscribers * events:>12,}",
        f"told as delivered       {told.delivered:>12,}",
        f"told as dropped         {told.dropped:>12,}",
        f"got by the subscribers  {got:>12,}",
        f"of them different       {distinct:>12,}",
        f"counted by the service  {counted:>12,}",
        f"got the last event      {last.delivered:>12,}",
        sep="\n",
    )
    agree = (
        told.delivered + told.dropped == subscribers * events
        and got == distinct == told.delivered
        and counted == told.dropped
        and (last.delivered, last.dropped) == (subscribers, 0)
    )
    return None if agree else "the sums do not agree"


async def subscribed(channel: Any) -> Subscriber:
    """Subscribe, and wait until the subscription stands."""
    request = pb.SubscribeRequest(event_type=TYPE)
    call = events_pb2_grpc.EventStreamStub(channel).Subscribe(request)
    await call.initial_metadata()
    return Subscriber(call)


async def published(channel: Any, events: int) -> Told:
    """Publish so many events; return what the answers say."""
    told, numbers = Told(), iter(range(events))

    async def publisher() -> None:
        for number in numbers:
            answer = await publish(channel, str(number))
            told.delivered += answer.delivered
            told.dropped += answer.dropped

    await asyncio.gather(*(publisher() for _ in range(PUBLISHERS)))
    return told


async def publish(channel: Any, event_id: str) -> Any:
    """Publish one event."""
    event = pb.Event(id=event_id, type=TYPE, payload=PAYLOAD)
    return await events_pb2_grpc.EventStreamStub(channel).Publish(event)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Path]:
    """Run the events service as a process, which is stopped at the end; give its socket."""
    node = {
        "socket_dir": str(directory),
        "data_dir": str(directory),
        "services": {"events": {}},
        "compression": {"min_bytes": 1 << 20},
    }
    (directory / "node.json").write_text(json.dumps(node), encoding="utf-8")
    command = ("-m", "reference", "service", "events", "--config", str(directory / "node.json"))
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=log)
    try:
        yield directory / "events.sock"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


@asynccontextmanager
async def channels(socket: Path, subscribers: int) -> AsyncIterator[Any]:
    """Connect as often as so many subscriptions need; give the connections in turn, for ever."""
    # Without the probe the window of a stream stays at 64 KiB, however much memory there is.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    count = -(-subscribers // STREAMS)
    made = [grpc.aio.insecure_channel(f"unix:{socket}", options=options) for _ in range(count)]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in made))
        yield itertools.cycle(made)
    finally:
        for channel in made:
            await channel.close()


def total_of(log: str) -> int:
    """Return the number of dropped events that the service's log ends with."""
    lines = [json.loads(line) for line in log.splitlines()]
    return max((int(line["total"]) for line in lines if "dropped" in line), default=0)


if __name__ == "__main__":
    main()
