"""The events service over a real socket: types, order, copies, full buffers, clean-up."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from blackhole.events.v1 import events_pb2 as pb
from blackhole.events.v1 import events_pb2_grpc
from reference.mesh.telemetry.drops import DropCounter
from reference.services.events.broker import Broker

from .mesh_place import eventually
from .serving import SOON, refusal, short_node


@pytest.fixture
async def channel() -> AsyncIterator[Any]:
    settings: dict[str, Any] = {
        "services": {"events": {}},
        "events": {"subscriber_buffer": 3, "max_subscribers": 4},
    }
    with short_node(**settings) as node:
        async with node.serving("events") as one:
            yield one


def _stub(channel: Any) -> Any:
    return events_pb2_grpc.EventStreamStub(channel)


async def _subscribed(channel: Any, event_type: str) -> Any:
    call = _stub(channel).Subscribe(pb.SubscribeRequest(event_type=event_type), timeout=SOON)
    await call.initial_metadata()
    return call


async def _read(call: Any, number: int) -> list[str]:
    return [(await call.read()).id for _ in range(number)]


async def test_every_subscriber_of_a_type_gets_its_copy_in_order(channel: Any) -> None:
    stub = _stub(channel)
    first, second, other = [await _subscribed(channel, kind) for kind in ("a", "a", "b")]

    answers = [await stub.Publish(pb.Event(type=kind, id=kind + n)) for n in "12" for kind in "ab"]

    assert [await _read(call, 2) for call in (first, second, other)] == [
        ["a1", "a2"],
        ["a1", "a2"],
        ["b1", "b2"],
    ]
    assert [(answer.delivered, answer.dropped) for answer in answers] == [(2, 0), (1, 0)] * 2


async def test_an_event_arrives_as_it_was_published(channel: Any) -> None:
    event = pb.Event(id="x", type="a", source="s", attributes={"k": "v"}, payload=b"\0\xff")
    event.timestamp.FromNanoseconds(123456789)
    call = await _subscribed(channel, "a")

    answer = await _stub(channel).Publish(event)

    assert answer == pb.PublishResponse(success=True, event_id="x", delivered=1)
    assert await call.read() == event


async def test_what_the_publisher_leaves_out_is_filled_in(channel: Any) -> None:
    call = await _subscribed(channel, "a")

    answer = await _stub(channel).Publish(pb.Event(type="a"))

    event = await call.read()
    assert (len(event.id), answer.event_id) == (36, event.id)
    assert event.timestamp.seconds > 1_700_000_000


async def test_nobody_need_listen(channel: Any) -> None:
    answer = await _stub(channel).Publish(pb.Event(type="a", id="1"))

    assert answer == pb.PublishResponse(success=True, event_id="1")


async def test_a_full_buffer_loses_the_new_event_for_its_subscriber_alone() -> None:
    drops = DropCounter("n", "dropped")
    broker = Broker(2, 2, drops)
    seen: list[str] = []

    with broker.subscribed("a") as slow, broker.subscribed("a") as fast:
        reader = aiter(fast)
        for number in range(4):
            broker.publish(pb.Event(type="a", id=str(number)))
            seen.append((await anext(reader)).id)
        waiting = aiter(slow)
        kept = [(await anext(waiting)).id for _ in range(2)]
        assert broker.publish(pb.Event(type="a", id="4")) == (2, 0)
        kept.append((await anext(waiting)).id)

    assert (seen, kept, drops.total) == (["0", "1", "2", "3"], ["0", "1", "4"], 2)
    assert repr(broker) == "Broker(0 of 2, types=0)"
    drops.close()


async def test_one_that_does_not_read_delays_nobody(channel: Any) -> None:
    stub, payload = _stub(channel), os.urandom(1 << 20)  # which does not shrink
    slow = await _subscribed(channel, "a")
    fast = await _subscribed(channel, "a")

    answers = []
    for _ in range(20):
        answers.append(await stub.Publish(pb.Event(type="a", payload=payload), timeout=SOON))
        await fast.read()

    assert {answer.delivered + answer.dropped for answer in answers} == {2}
    assert sum(answer.dropped for answer in answers) > 0
    slow.cancel()


async def test_cancelled_subscriptions_are_cleaned_up(channel: Any) -> None:
    broker = channel.service._broker
    for _ in range(50):
        calls = [await _subscribed(channel, kind) for kind in ("a", "b")]
        for call in calls:
            call.cancel()
        await eventually(lambda: repr(broker) == "Broker(0 of 4, types=0)")


async def test_one_more_than_allowed_is_refused(channel: Any) -> None:
    calls = [await _subscribed(channel, "a") for _ in range(4)]

    code, message, _ = await refusal(
        _stub(channel).Subscribe(pb.SubscribeRequest(event_type="a"), timeout=SOON)
    )

    assert (code, message) == ("RESOURCE_EXHAUSTED", "there are 4 subscribers already")
    for call in calls:
        call.cancel()


async def test_subscriptions_end_with_the_service(channel: Any) -> None:
    call = await _subscribed(channel, "a")

    channel.service.drain()

    assert (await refusal(call))[:2] == ("UNAVAILABLE", "the service is draining")
    again = _stub(channel).Subscribe(pb.SubscribeRequest(event_type="a"), timeout=SOON)
    assert (await refusal(again))[:2] == ("UNAVAILABLE", "the service is draining")


@pytest.mark.parametrize("event_type", ["", "a/b", "ä", "a" * 129, "a\n"])
async def test_a_type_that_is_none_is_refused_by_name(channel: Any, event_type: str) -> None:
    stub = _stub(channel)
    subscribe = stub.Subscribe(pb.SubscribeRequest(event_type=event_type), timeout=SOON)
    publish = stub.Publish(pb.Event(type=event_type), timeout=SOON)

    named = [(await refusal(call))[::2] for call in (subscribe, publish)]

    assert named == [("INVALID_ARGUMENT", ["event_type"]), ("INVALID_ARGUMENT", ["type"])]


async def test_every_field_that_is_wrong_is_named(channel: Any) -> None:
    event = pb.Event(id="x" * 129, source="x" * 257, timestamp=Timestamp(nanos=-1))

    code, _, named = await refusal(_stub(channel).Publish(event, timeout=SOON))

    assert (code, named) == ("INVALID_ARGUMENT", ["type", "id", "source", "timestamp"])


async def test_publishers_at_once_lose_nothing(channel: Any) -> None:
    call = await _subscribed(channel, "a")
    reader = asyncio.create_task(_read(call, 3))

    await asyncio.gather(
        *(_stub(channel).Publish(pb.Event(type="a", id=str(n)), timeout=SOON) for n in range(3))
    )

    assert sorted(await reader) == ["0", "1", "2"]
