"""Flows between services that ask for tokens: whose upload it is, and who may ask for it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from blackhole.events.v1 import events_pb2, events_pb2_grpc
from blackhole.identity.v1 import identity_pb2, identity_pb2_grpc
from blackhole.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from blackhole.storage.v1 import storage_pb2 as pb
from blackhole.storage.v1 import storage_pb2_grpc

from .minting import AUDIENCE, ISSUER, Key, key_set
from .serving import SOON, Node, refusal, short_node

KEY = Key("one")

ROLES = {
    "service": [
        "/blackhole.identity.v1.IdentityService/ResolveDID",
        "/blackhole.ledger.v1.LedgerService/Append",
        "/blackhole.events.v1.EventStream/Publish",
    ],
    "uploader": ["/blackhole.storage.v1.StorageService/UploadFile"],
    "reader": [
        "/blackhole.identity.v1.IdentityService/CreateDID",
        "/blackhole.ledger.v1.LedgerService/GetEntry",
        "/blackhole.events.v1.EventStream/Subscribe",
    ],
}


def _token(subject: str, role: str) -> str:
    return KEY.token(sub=subject, role=role, exp=time.time() + 60)


def _as(subject: str, role: str) -> dict[str, Any]:
    return {"timeout": SOON, "metadata": [("authorization", f"Bearer {_token(subject, role)}")]}


@pytest.fixture
def node() -> Iterator[Node]:
    services: dict[str, Any] = {"identity": {}, "ledger": {}, "events": {}}
    services["storage"] = {"dependencies": ["identity", "ledger"]}
    with short_node(services=services) as one:
        jwks, own = one.root / "jwks.json", one.root / "token"
        jwks.write_bytes(key_set(KEY))
        own.touch(0o600)
        own.write_text(_token("service", "service"))
        one.settings["auth"] = {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "jwks_file": str(jwks),
            "token_file": str(own),
            "roles": {name: {"methods": methods} for name, methods in ROLES.items()},
        }
        yield one


def _upload(channel: Any, subject: str) -> Any:
    stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
    chunks = iter([pb.UploadFileRequest(file_id="a", data=b"x")])
    return stub.UploadFile(chunks, **_as(subject, "uploader"))


async def test_the_owner_is_the_subject_of_the_callers_token(node: Node) -> None:
    async with (
        node.serving("events") as events,
        node.serving("identity") as identity,
        node.serving("ledger") as ledger,
        node.serving("storage") as storage,
    ):
        stream: Any = events_pb2_grpc.EventStreamStub(events)
        request = events_pb2.SubscribeRequest(event_type="identity.did.created")
        subscription = stream.Subscribe(request, **_as("somebody", "reader"))
        await subscription.initial_metadata()
        dids: Any = identity_pb2_grpc.IdentityServiceStub(identity)
        created = await dids.CreateDID(
            identity_pb2.CreateDIDRequest(method="key"), **_as("somebody", "reader")
        )

        refused = await refusal(_upload(storage, "did:key:nobody"))
        stored = await _upload(storage, created.did)

        entries: Any = ledger_pb2_grpc.LedgerServiceStub(ledger)
        found = await entries.GetEntry(
            ledger_pb2.GetEntryRequest(index=stored.ledger_index), **_as("somebody", "reader")
        )
        announced = await subscription.read()
        subscription.cancel()

    assert refused[:2] == ("PERMISSION_DENIED", "the caller's subject is no DID")
    assert (stored.owner, stored.ledger_index) == (created.did, 0)
    assert pb.FileInfo.FromString(found.entry.payload).owner == created.did
    assert announced.attributes["did"] == created.did


async def test_a_service_whose_own_token_is_refused_cannot_upload(node: Node) -> None:
    (node.root / "token").write_text(_token("service", "reader"))
    async with node.serving("identity", "ledger", "storage") as storage:
        refused = await refusal(_upload(storage, "did:key:x"))

    assert refused[:2] == ("UNAVAILABLE", "identity is not available")
