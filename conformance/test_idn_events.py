"""Chapter 7: the events of the identity service (IDN-9 and IDN-10)."""

import secrets
from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.identity import Identity
from .harness.judging import did, expect
from .harness.nodes import Node


async def test_idn_9_a_subscriber_sees_each_change_in_order(identity: Identity) -> None:
    """IDN-9: A subscriber sees created, updated and deleted events in order, with content."""
    everything = await identity.events()
    deletions = await identity.events(pb.EVENT_TYPE_DELETED)

    first = await identity.create(properties={"n": "1"})
    second = await identity.create(properties={"n": "2"})
    batch = await identity.batch(
        [pb.CreateDIDRequest(method="key", properties={"n": str(n)}) for n in (3, 4, 5)]
    )
    created = [first, second, *batch]
    expected = [
        _created(answer, {"n": str(number)}) for number, answer in enumerate(created, start=1)
    ]
    updated = await identity.update(first.did, {"n": "6"})
    expected.append(
        pb.DIDEvent(
            did=first.did,
            type=pb.EVENT_TYPE_UPDATED,
            timestamp=updated.updated_at,
            updated=pb.DIDUpdated(
                document=_document(first, {"n": "6"}, updated_at=updated.updated_at)
            ),
        )
    )
    deleted = await identity.delete(second.did)
    expected.append(
        pb.DIDEvent(
            did=second.did,
            type=pb.EVENT_TYPE_DELETED,
            timestamp=deleted.deleted_at,
            deleted=pb.DIDDeleted(),
        )
    )
    seen = await everything.take(len(expected))
    seen_deletions = [await deletions.next()]
    more = not await everything.silent(0.05), not await deletions.silent(0.05)
    everything.cancel()
    deletions.cancel()

    expect(seen, equals=expected, what="events of all types")
    expect(seen_deletions, equals=expected[-1:], what="events of type DELETED")
    expect(more, equals=(False, False), what="further events on either stream")


async def test_idn_10_one_that_leaves_disturbs_no_other(identity: Identity) -> None:
    """IDN-10: Every subscriber gets every event; one that leaves disturbs no other."""
    own = identity.connect()
    streams = [await identity.events() for _ in range(7)] + [await identity.events(channel=own)]

    created = [(await identity.create()).did for _ in range(10)]
    streams[0].cancel()
    streams[1].cancel()
    await own.close()
    did("cancelled two of eight subscriptions, and broke the connection of a third")
    created += [(await identity.create()).did for _ in range(10)]
    seen = [[event.did for event in await stream.take(20)] for stream in streams[2:7]]
    for stream in streams[2:7]:
        stream.cancel()

    expect(seen, equals=[created] * 5, what="DIDs that the five others saw")


async def test_idn_10_one_that_does_not_read_is_ended_not_robbed(node: Node) -> None:
    """IDN-10: A subscriber that does not read delays nobody, and never has a gap."""
    # Nothing is compressed, nor would it shrink: what is sent fills the buffers on its way.
    service = await node.start(
        {"identity": {"event_buffer": 100}, "compression": {"min_bytes": 1 << 20}}
    )
    slow = await service.events(channel=service.connect())
    quick = await service.events(channel=service.connect())
    properties = {"padding": secrets.token_urlsafe(49152)}

    created: list[str] = []
    for _ in range(400):
        created.append((await service.create(properties=properties)).did)
        expect((await quick.next()).did, equals=created[-1], what="the event that a reader sees")
    did("created 400 DIDs of 64 KiB, while one subscriber read nothing")
    messages, ended = await slow.rest()

    seen = [event.did for event in messages]
    expect(ended.code, equals="RESOURCE_EXHAUSTED", what="end of the slow subscriber's stream")
    expect(seen, equals=created[: len(seen)], what="what the slow subscriber saw: no gap")
    expect(len(seen), at_most=399, what="events that the slow subscriber saw")


def _document(
    created: pb.CreateDIDResponse,
    properties: Mapping[str, str],
    updated_at: Timestamp | None = None,
) -> pb.DIDDocument:
    return pb.DIDDocument(
        did=created.did,
        properties=properties,
        created_at=created.created_at,
        updated_at=updated_at or created.created_at,
    )


def _created(created: pb.CreateDIDResponse, properties: Mapping[str, str]) -> pb.DIDEvent:
    return pb.DIDEvent(
        did=created.did,
        type=pb.EVENT_TYPE_CREATED,
        timestamp=created.created_at,
        created=pb.DIDCreated(document=_document(created, properties)),
    )
