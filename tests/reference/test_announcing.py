"""identity tells the events service of its changes, and never waits for it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from blackhole.events.v1 import events_pb2, events_pb2_grpc
from blackhole.identity.v1 import identity_pb2 as pb
from blackhole.identity.v1 import identity_pb2_grpc
from reference.mesh.calls import NO_CALL, Call, begin
from reference.mesh.outgoing import CallError
from reference.mesh.telemetry.drops import DropCounter
from reference.services.identity import announcing
from reference.services.identity.announcing import Announcer

from .mesh_place import NEVER, eventually
from .serving import SOON, Node, short_node


@pytest.fixture
def node() -> Iterator[Node]:
    with short_node(services={"identity": {}, "events": {}}) as one:
        yield one


def _identity(channel: Any) -> Any:
    return identity_pb2_grpc.IdentityServiceStub(channel)


async def _subscribed(channel: Any, event_type: str) -> Any:
    stub: Any = events_pb2_grpc.EventStreamStub(channel)
    request = events_pb2.SubscribeRequest(event_type=event_type)
    call = stub.Subscribe(request, timeout=SOON)
    await call.initial_metadata()
    return call


async def test_every_change_is_an_event(node: Node) -> None:
    async with node.serving("events") as events, node.serving("identity") as channel:
        calls = {
            kind: await _subscribed(events, f"identity.did.{kind}")
            for kind in ("created", "updated", "deleted")
        }
        stub = _identity(channel)
        secret = pb.CreateDIDRequest(method="key", properties={"name": "value"})
        created = await stub.CreateDID(secret)
        updated = await stub.UpdateDID(pb.UpdateDIDRequest(did=created.did))
        deleted = await stub.DeleteDID(pb.DeleteDIDRequest(did=created.did))
        seen = {kind: await call.read() for kind, call in calls.items()}

    times = {
        "created": created.created_at,
        "updated": updated.updated_at,
        "deleted": deleted.deleted_at,
    }
    for kind, event in seen.items():
        assert len(event.id) == 36
        assert event == events_pb2.Event(
            id=event.id,
            type=f"identity.did.{kind}",
            source="identity",
            timestamp=times[kind],
            attributes={"did": created.did},
        )


async def test_events_come_in_the_order_of_the_changes(node: Node) -> None:
    async with node.serving("events") as events, node.serving("identity") as channel:
        call = await _subscribed(events, "identity.did.created")
        requests = [pb.CreateDIDRequest(method="key") for _ in range(20)]
        batch = await _identity(channel).BatchCreateDIDs(
            pb.BatchCreateDIDsRequest(requests=requests)
        )

        seen = [(await call.read()).attributes["did"] for _ in range(20)]

    assert seen == [one.did for one in batch.dids]


async def test_identity_works_without_the_events_service(node: Node) -> None:
    async with node.serving("identity") as channel:
        for _ in range(20):
            await _identity(channel).CreateDID(pb.CreateDIDRequest(method="key"), timeout=SOON)


class Client:
    """A mesh client whose calls are held, fail, or are kept."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.error: Exception | None = None
        self.calls: list[tuple[str, str, Any]] = []

    async def call(self, service: str, _method: Any, event: Any, **how: Any) -> None:
        self.calls.append((service, event.attributes["did"], how["metadata"]))
        await self.open.wait()
        if self.error:
            raise self.error


@pytest.fixture
async def client() -> Client:
    return Client()


@pytest.fixture
async def announcer(client: Client) -> AsyncIterator[Announcer]:
    async with announcing.announcing(client) as one:  # type: ignore[arg-type]
        yield one


def _change(number: int) -> pb.DIDEvent:
    return pb.DIDEvent(did=f"did:key:{number}", type=pb.EVENT_TYPE_CREATED)


async def test_the_request_id_of_the_change_goes_along(
    client: Client, announcer: Announcer
) -> None:
    client.open.set()
    for number in range(2):
        begin(Call(method="", request_id=f"id-{number}"))
        announcer.announce([_change(number)])
    begin(NO_CALL)
    announcer.announce([_change(2)])

    await eventually(lambda: len(client.calls) == 3)

    assert client.calls == [
        ("events", "did:key:0", (("x-request-id", "id-0"),)),
        ("events", "did:key:1", (("x-request-id", "id-1"),)),
        ("events", "did:key:2", ()),
    ]


async def test_what_finds_the_queue_full_is_dropped_and_counted(
    client: Client, announcer: Announcer
) -> None:
    announcer.announce([_change(0)])
    await eventually(lambda: len(client.calls) == 1)

    announcer.announce(map(_change, range(1, announcing.WAITING + 4)))
    assert "waiting=1000" in repr(announcer)
    assert "total=3" in repr(announcer)
    client.open.set()
    await eventually(lambda: len(client.calls) == announcing.WAITING + 1)

    assert client.calls[-1][1] == f"did:key:{announcing.WAITING}"


@pytest.mark.parametrize(("pause", "tried"), [(0.0, 3), (NEVER, 1)])
async def test_what_cannot_be_published_is_dropped_and_the_rest_waits(
    pause: float, tried: int
) -> None:
    client, drops = Client(), DropCounter("n", "dropped")
    client.open.set()
    client.error = CallError("UNAVAILABLE", "nobody")
    announcer = Announcer(client, drops, pause)  # type: ignore[arg-type]
    running = asyncio.create_task(announcer.run())

    announcer.announce(map(_change, range(3)))

    await eventually(lambda: drops.total == tried)
    assert f"waiting={3 - tried}" in repr(announcer)
    running.cancel()
    drops.close()
