"""Chapter 8: what subscribers of the events service get (EVT-1 to EVT-3, EVT-6, EVT-7)."""

import asyncio
import sys
import time
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from blackhole.events.v1 import events_pb2 as pb

from .harness.bounds import DEADLINE, PROMPT, until
from .harness.events import SERVICE, Events, new_type
from .harness.judging import did, expect
from .harness.nodes import Node

MOST = 20
"""Subscribers at once where they are limited."""

ROUNDS = 50
"""Rounds of `MOST` subscriptions: a thousand in all."""


async def test_evt_1_events_arrive_whole_and_in_order(events: Events) -> None:
    """EVT-1: A subscriber gets the events of its type, whole, in the publisher's order."""
    event_type = new_type()
    stream = await events.subscribe(event_type)
    published = [_event(event_type, number) for number in range(50)]

    answers = [await events.published(event) for event in published]
    before = time.time_ns()
    answers.append(await events.published(pb.Event(type=event_type, payload=b"bare")))
    after = time.time_ns()
    expect(
        [(answer.success, answer.delivered, answer.dropped) for answer in answers],
        equals=[(True, 1, 0)] * 51,
        what="(success, delivered, dropped) of each Publish",
    )
    *seen, bare = await stream.take(51)
    stream.cancel()

    expect(seen, equals=published, what="the events that arrived")
    expect(
        [answer.event_id for answer in answers],
        equals=[event.id for event in [*seen, bare]],
        what="event_id of each Publish",
    )
    expect(
        bare,
        equals=pb.Event(id=bare.id, type=event_type, timestamp=bare.timestamp, payload=b"bare"),
        what="the event without an ID and a time",
    )
    expect(bare.id != "", equals=True, what="whether it was given an ID")
    expect(bare.timestamp.ToNanoseconds(), at_least=before, what="its time, from the start")
    expect(bare.timestamp.ToNanoseconds(), at_most=after, what="its time, to the end")


async def test_evt_1_a_confirmed_subscription_stands(events: Events) -> None:
    """EVT-1: Once the initial metadata is there no event is missed, whoever publishes it."""
    other = events.connect()

    delivered = []
    for event_type in (new_type() for _ in range(20)):
        stream = await events.subscribe(event_type)
        answer = await events.publish(pb.Event(type=event_type), other)
        expect(answer.code, equals="OK", what="status of Publish")
        delivered.append(answer.response.delivered)
        stream.cancel()

    expect(delivered, equals=[1] * 20, what="delivered of a Publish right after the confirmation")


async def test_evt_2_other_types_are_not_delivered(events: Events) -> None:
    """EVT-2: An event of another type is not delivered, however alike the two are."""
    event_type = new_type()
    stream = await events.subscribe(event_type)
    others = [
        event_type.upper(),
        event_type[:-1],
        f"{event_type}.more",
        f"more.{event_type}",
        event_type.replace(".", "-"),
        new_type(),
    ]

    answers = [await events.published(pb.Event(type=other, payload=b"no")) for other in others]
    own = await events.published(pb.Event(type=event_type, payload=b"yes"))
    first = await stream.next()
    stream.cancel()

    expect((first.type, first.payload), equals=(event_type, b"yes"), what="the first event")
    expect(
        [answer.delivered for answer in [*answers, own]],
        equals=[0] * len(others) + [1],
        what="delivered of the other types, and of the type itself",
    )


async def test_evt_2_a_type_must_be_given(events: Events) -> None:
    """EVT-2: What is no type, or no event, is INVALID_ARGUMENT naming the field."""
    event_type = new_type()
    published = [pb.Event(payload=b"x"), pb.Event(type=event_type, id="x" * 129)]
    subscribed = [pb.SubscribeRequest(event_type=one) for one in ("", "with space", event_type)]

    answers = [await events.publish(event) for event in published]
    answers += await events.channel.judged(
        f"/{SERVICE}/Subscribe",
        [request.SerializeToString() for request in subscribed],
        events.check,
    )

    expect(
        [(answer.code, answer.fields) for answer in answers],
        equals=[
            ("INVALID_ARGUMENT", ("type",)),
            ("INVALID_ARGUMENT", ("id",)),
            ("INVALID_ARGUMENT", ("event_type",)),
            ("INVALID_ARGUMENT", ("event_type",)),
            ("OK", ()),
        ],
        what="Publish without a type, with a long ID; Subscribe to '', 'with space' and a type",
    )


async def test_evt_3_every_subscriber_gets_its_own_copy(events: Events) -> None:
    """EVT-3: Every subscriber of a type gets every event, and one that leaves disturbs no other."""
    event_type = new_type()
    own = events.connect()
    streams = [await events.subscribe(event_type) for _ in range(3)]
    streams += [await events.subscribe(event_type, own) for _ in range(2)]
    published: list[str] = []
    counted: list[tuple[int, int]] = []

    async def publish() -> None:
        published.append(f"event {len(published)}")
        answer = await events.published(pb.Event(type=event_type, id=published[-1]))
        counted.append((answer.delivered, answer.dropped))

    async def known() -> bool:
        """Publish one more, and tell whether the service knows that one left."""
        await publish()
        return counted[-1] == (4, 0)

    for _ in range(10):
        await publish()
    expect(counted, equals=[(5, 0)] * 10, what="(delivered, dropped), with five subscribers")
    left = _ids(await streams[1].take(10))
    streams.pop(1).cancel()
    did("one of five left after the tenth event")
    for _ in range(10):
        await publish()
    await until(known, bound=PROMPT, what="delivered is 4, dropped 0, once one left")
    delivered = [each for each, _ in counted]
    expect(delivered, equals=sorted(delivered, reverse=True), what="delivered, which never rises")
    seen = [_ids(await stream.take(len(published))) for stream in streams]
    for stream in streams:
        stream.cancel()

    expect(left, equals=published[:10], what="the events that the one that left saw")
    expect(seen, equals=[published] * 4, what="the events that the four others saw")


async def test_evt_6_what_ended_leaves_nothing_behind(node: Node) -> None:
    """EVT-6: A subscription that ended is gone, its place is free, and nothing of it is kept."""
    service = await node.serve(Events, {"events": {"max_subscribers": MOST}})
    event_type = new_type()
    descriptors = []

    async def reached() -> tuple[int, int]:
        answer = await service.published(pb.Event(type=event_type))
        return answer.delivered, answer.dropped

    async def gone() -> bool:
        return await reached() == (0, 0)

    for _ in range(ROUNDS):
        channel = service.connect()
        channels = [service.channel] * (MOST // 2) + [channel] * (MOST // 2)
        streams = await asyncio.gather(*(service.subscribe(event_type, one) for one in channels))
        expect(await reached(), equals=(MOST, 0), what="(delivered, dropped), while all stand")
        for stream in streams[: MOST // 2]:
            stream.cancel()
        await channel.close()
        await until(gone, bound=DEADLINE, what="delivered and dropped are 0 once all left")
        descriptors.append(sum(member.num_fds() for member in service.process.family()))
    did(f"subscribed and left {ROUNDS * MOST} times")

    streams = [await service.subscribe(event_type) for _ in range(MOST)]
    request = pb.SubscribeRequest(event_type=event_type).SerializeToString()
    (refused,) = await service.channel.judged(f"/{SERVICE}/Subscribe", [request], service.check)
    standing = await reached()
    for stream in streams:
        stream.cancel()
    expect(
        (standing, refused.code),
        equals=((MOST, 0), "RESOURCE_EXHAUSTED"),
        what="(delivered, dropped) with 20, and one more",
    )
    expect(descriptors[-1], at_most=descriptors[0] + 16, what="descriptors after the last round")


async def test_evt_7_nobody_need_listen(events: Events) -> None:
    """EVT-7: Publish with nobody listening succeeds, and nothing is kept for who comes later."""
    event_type = new_type()

    answer = await events.published(pb.Event(type=event_type, id="early"))
    stream = await events.subscribe(event_type)
    await events.published(pb.Event(type=event_type, id="late"))
    first = await stream.next()
    stream.cancel()

    expect(
        answer,
        equals=pb.PublishResponse(success=True, event_id="early"),
        what="the answer to Publish with nobody listening",
    )
    expect(first.id, equals="late", what="the first event of the subscriber that came later")


def _event(event_type: str, number: int) -> pb.Event:
    """Return one of 50 events, each unlike the others."""
    return pb.Event(
        id=f"id {number}",
        type=event_type,
        source=f"source {number}",
        timestamp=Timestamp(seconds=number - 25, nanos=number * 1_000_001),
        attributes={"": "", f"é{chr(number)}": _characters(number), "number": str(number)},
        payload=bytes(range(number, 256)) * (50 - number),
    )


def _characters(number: int) -> str:
    """Return a sample of all characters of Unicode, another for each number below 50."""
    points = range(number, sys.maxunicode + 1, 997)
    return "".join(chr(point) for point in points if not 0xD800 <= point <= 0xDFFF)


def _ids(events: Sequence[pb.Event]) -> list[str]:
    return [event.id for event in events]
