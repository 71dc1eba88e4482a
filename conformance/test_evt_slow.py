"""Chapter 8: a subscriber that does not read, beside one that does (EVT-4, EVT-5)."""

import secrets
import time
from typing import Any

from blackhole.events.v1 import events_pb2 as pb

from .harness.events import Events, Unread, new_type
from .harness.history import expect_elapsed
from .harness.judging import did, expect
from .harness.nodes import Node
from .harness.streams import Stream

COUNT = 200
"""Events that are published while one subscriber does not read."""

BUFFER = 10
"""Events that are kept for it: a twentieth, and a library on the way may keep a few more."""

SETTINGS = {
    "events": {"subscriber_buffer": BUFFER},
    # Nothing is compressed, nor would it shrink: what is sent fills the buffers on its way.
    "compression": {"min_bytes": 1 << 20},
}


async def test_evt_4_one_that_does_not_read_delays_nobody(node: Node) -> None:
    """EVT-4: A subscriber that does not read delays neither Publish nor the others."""
    service = await node.serve(Events, SETTINGS)
    event_type = new_type()
    reader = await service.subscribe(event_type)

    async with service.unread(event_type):
        answers = await _flooded(service, event_type, reader)

    expect(answers[0].delivered, equals=2, what="delivered of the first event: to both of them")


async def test_evt_5_the_new_event_is_dropped_for_one_alone_and_told(node: Node) -> None:
    """EVT-5: Past a full buffer a new event is dropped for its subscriber alone, and counted."""
    service = await node.serve(Events, SETTINGS)
    event_type = new_type()
    reader = await service.subscribe(event_type)

    async with service.unread(event_type) as slow:
        answers = await _flooded(service, event_type, reader)
        expect(
            {(answer.delivered, answer.dropped) for answer in answers},
            equals={(2, 0), (1, 1)},
            what="(delivered, dropped) of all answers together",
        )
        kept = [str(number) for number, answer in enumerate(answers) if not answer.dropped]
        seen = await _read_on(slow, len(kept))
        more = await service.published(pb.Event(type=event_type, id="more"))
        seen_more = [event.id for event in await slow.until(len(kept) + 1)]
    reader.cancel()

    expect(
        kept[:BUFFER],
        equals=[str(number) for number in range(BUFFER)],
        what="the first events that were not dropped",
    )
    expect(seen, equals=kept, what="events that the subscriber got that did not read")
    expect((more.delivered, more.dropped), equals=(2, 0), what="(delivered, dropped) once it reads")
    expect(seen_more, equals=[*kept, "more"], what="events that it got once it reads")


async def _flooded(service: Events, event_type: str, reader: Stream) -> list[Any]:
    """Publish events one after the other, each once the reader has the one before."""
    payload = secrets.token_bytes(1 << 16)
    answers, seen = [], []
    for number in range(COUNT):
        since = time.monotonic()
        event = pb.Event(type=event_type, id=str(number), payload=payload)
        answer = await service.published(event)
        expect_elapsed(time.monotonic() - since, since=since, at_most=1.0, what="time of Publish")
        expect(answer.delivered, at_least=1, what=f"delivered of event {number}: to the reader")
        answers.append(answer)
        seen.append((await reader.next()).id)
    did(f"published {COUNT} events of 64 KiB, while one subscriber read nothing")
    expect(seen, equals=[str(number) for number in range(COUNT)], what="events that the reader got")
    return answers


async def _read_on(slow: Unread, count: int) -> list[str]:
    """Let it read, and return the IDs of what it gets."""
    await slow.read_on()
    return [event.id for event in await slow.until(count)]
