"""Chapter 7: the identity service (IDN-1 to IDN-13)."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.bounds import until
from .harness.identity import NOT_SERVING, Identity
from .harness.judging import NonConformance, did, expect
from .harness.nodes import Node
from .harness.strategies import TEXT

DID = r"did:%s:(?:(?:[A-Za-z0-9._-]|%%[0-9A-Fa-f]{2})*:)*(?:[A-Za-z0-9._-]|%%[0-9A-Fa-f]{2})+"
"""Syntax of a DID of one method (W3C DID Core 1.0, section 3.1)."""

RESOLVER = "blackhole://suite.test/v1/identity/dids"
"""What the suite configures as `identity.resolver_base_uri`."""

MALFORMED_METHODS = ["", "Key", "did:key", "a b", "a/b", "é", "key\n", "a\0b", "x" * 65]

MALFORMED_DIDS = ["", "did", "did:key", "did:key:", "did:Key:1", "key:1", "did:key:a b", "x" * 5000]

UNKNOWN = "did:key:00000000000000000000000000000000"


@pytest.mark.parametrize("method", ["key", "web", "0", "x" * 64])
async def test_idn_1_create_returns_did_time_and_resolver(identity: Identity, method: str) -> None:
    """IDN-1: CreateDID returns a DID of the asked method, its time and its resolver endpoint."""
    before = time.time_ns()
    created = await identity.create(method)
    after = time.time_ns()

    expect(created.did, matches=DID % method + "$", what="did")
    expect(created.created_at.ToNanoseconds(), at_least=before, what="created_at, from the start")
    expect(created.created_at.ToNanoseconds(), at_most=after, what="created_at, to the end")
    expect(urlsplit(created.resolver_endpoint).scheme != "", equals=True, what="an absolute URI")
    if identity.has_process:
        expect(
            created.resolver_endpoint,
            equals=f"{RESOLVER}/{created.did}",
            what="resolver_endpoint",
        )


async def test_idn_2_dids_are_unique(node: Node) -> None:
    """IDN-2: DIDs are unique, also across concurrent creates and restarts."""
    found: list[str] = []
    for count in (500, 500, 100):
        service = await node.start()
        for _ in range(count // 50):
            created = await asyncio.gather(*(service.create() for _ in range(50)))
            found += [answer.did for answer in created]
        await service.stop()
        did(f"created {count} DIDs, 50 at once, and stopped the service")

    expect(len(found), equals=1100, what="DIDs created")
    expect(len(set(found)), equals=1100, what="DIDs that differ")


async def test_idn_3_a_malformed_method_is_refused_by_name(identity: Identity) -> None:
    """IDN-3: A malformed method is INVALID_ARGUMENT naming the field, and creates nothing."""
    events = await identity.events()

    answers = {
        method: await identity.call("CreateDID", pb.CreateDIDRequest(method=method))
        for method in MALFORMED_METHODS
    }
    control = await identity.create("key")
    first = await events.next()
    events.cancel()

    expect(
        {method: (answer.code, answer.fields) for method, answer in answers.items()},
        equals=dict.fromkeys(MALFORMED_METHODS, ("INVALID_ARGUMENT", ("method",))),
        what="malformed methods",
    )
    for answer in answers.values():
        expect(answer.message, matches="invalid request", what="status message")
        expect(answer.violations[0].description != "", equals=True, what="a description is given")
    expect(first.did, equals=control.did, what="the first event after the refused calls")


@given(
    properties=st.dictionaries(TEXT, TEXT, max_size=8),
    others=st.dictionaries(TEXT, TEXT, max_size=3),
    key=st.binary(max_size=64),
)
async def test_idn_4_properties_come_back_unchanged(
    identity: Identity, properties: dict[str, str], others: dict[str, str], key: bytes
) -> None:
    """IDN-4: Any Unicode text comes back unchanged, after CreateDID and after UpdateDID."""
    await _comes_back(identity, properties, others, key)


async def test_idn_4_look_alikes_stay_apart(identity: Identity) -> None:
    """IDN-4: Composed and decomposed letters, controls and astral characters stay as they are."""
    properties = {
        "\u00e9": "composed",
        "e\u0301": "decomposed",
        "": "",
        "\0\x1f\x7f": "\r\n\t\0",
        "\u202eabc": "\u05d0\u0628",
        "\U0001f573": "\U0010ffff\ufeff\ufffd",
        "' OR 1=1 --": '"\\${x}%00<&>',
    }

    await _comes_back(identity, properties, {"e\u0301": "\u00e9"}, b"\0\xff")


async def _comes_back(
    identity: Identity, properties: Mapping[str, str], others: Mapping[str, str], key: bytes
) -> None:
    encryption = pb.EncryptionConfig(
        algorithm=pb.ENCRYPTION_ALGORITHM_CHACHA20_POLY1305, key_id="k", wrapped_key=key
    )
    request = pb.CreateDIDRequest(method="key", properties=properties, encryption=encryption)
    created = (await identity.call("CreateDID", request)).response
    first = await identity.resolve(created.did)
    updated = await identity.update(created.did, others)
    second = await identity.resolve(created.did)

    expected = pb.DIDDocument(
        did=created.did,
        properties=properties,
        encryption=encryption,
        created_at=created.created_at,
        updated_at=created.created_at,
    )
    expect(first, equals=expected, what="the document after CreateDID")
    expected.properties.clear()
    expected.properties.update(others)
    expected.updated_at.CopyFrom(updated.updated_at)
    expect(second, equals=expected, what="the document after UpdateDID")


async def test_idn_5_a_store_failure_says_no_more_than_that(node: Node) -> None:
    """IDN-5: A store failure is INTERNAL "failed to create DID", and is logged."""
    service = await node.start()
    before = await service.create()

    node.gone()
    single = await service.call("CreateDID", pb.CreateDIDRequest(method="key"))
    batch = await service.call(
        "BatchCreateDIDs", pb.BatchCreateDIDsRequest(requests=[pb.CreateDIDRequest(method="key")])
    )
    node.back()

    for what, answer in (("CreateDID", single), ("BatchCreateDIDs", batch)):
        expect(
            (answer.code, answer.message, answer.violations),
            equals=("INTERNAL", "failed to create DID", ()),
            what=f"{what} while the store is gone",
        )
    await until(lambda: _errors(service), bound=1.0, what="a log line at level error")
    await until(lambda: _creates(service), bound=0.4, what="CreateDID is OK once the store is back")
    await service.resolve(before.did)


async def test_idn_6_a_batch_answers_in_the_order_asked(identity: Identity) -> None:
    """IDN-6: BatchCreateDIDs answers in the order asked, one result an item."""
    requests = [
        pb.CreateDIDRequest(method=f"m{number}", properties={"number": str(number)})
        for number in range(50)
    ]

    results = await identity.batch(requests)
    documents = await asyncio.gather(*(identity.resolve(result.did) for result in results))

    expect(
        [document.did.split(":")[1] for document in documents],
        equals=[request.method for request in requests],
        what="methods of the results, in order",
    )
    expect(
        [dict(document.properties) for document in documents],
        equals=[dict(request.properties) for request in requests],
        what="properties of the results, in order",
    )
    expect(len({result.did for result in results}), equals=50, what="DIDs that differ")


@pytest.mark.parametrize("position", [0, 2, 4])
async def test_idn_7_one_bad_item_refuses_the_whole_batch(
    identity: Identity, position: int
) -> None:
    """IDN-7: One bad item refuses the whole batch, is named, and nothing is created."""
    good = [pb.CreateDIDRequest(method="key") for _ in range(5)]
    bad = [*good[:position], pb.CreateDIDRequest(method="BAD"), *good[position + 1 :]]
    events = await identity.events()

    refused = await identity.call("BatchCreateDIDs", pb.BatchCreateDIDsRequest(requests=bad))
    control = await identity.batch(good)
    first = await events.next()
    events.cancel()

    expect(
        (refused.code, refused.fields),
        equals=("INVALID_ARGUMENT", (f"requests[{position}].method",)),
        what=f"a batch with a bad item at {position}",
    )
    expect(first.did, equals=control[0].did, what="the first event after the refused batch")


async def test_idn_8_a_batch_has_a_maximum(node: Node) -> None:
    """IDN-8: A batch up to the maximum is created, one beyond it refused, an empty one empty."""
    service = await node.start({"identity": {"max_batch_items": 10}})
    item = pb.CreateDIDRequest(method="key")
    events = await service.events()

    beyond = await service.call("BatchCreateDIDs", pb.BatchCreateDIDsRequest(requests=[item] * 11))
    empty = await service.batch([])
    most = await service.batch([item] * 10)
    created = await events.take(10)

    expect(
        (beyond.code, beyond.fields), equals=("INVALID_ARGUMENT", ("requests",)), what="11 items"
    )
    expect(empty, equals=[], what="results of no items")
    expect(
        [event.did for event in created],
        equals=[result.did for result in most],
        what="events: those of the 10 items, and nothing before",
    )


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
    service = await node.start({"identity": {"event_buffer": 100}})
    slow = await service.events(channel=service.connect())
    quick = await service.events(channel=service.connect())
    properties = {"padding": "x" * 65536}

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


@pytest.mark.parametrize("method", ["ResolveDID", "UpdateDID", "DeleteDID"])
async def test_idn_11_an_unknown_did_is_not_found(identity: Identity, method: str) -> None:
    """IDN-11: An unknown DID is NOT_FOUND, and a malformed one INVALID_ARGUMENT."""
    decoy = await identity.create()

    unknown = await identity.call(method, _naming(method, UNKNOWN))
    malformed = {
        text: await identity.call(method, _naming(method, text)) for text in MALFORMED_DIDS
    }

    expect(unknown.code, equals="NOT_FOUND", what=f"{method} of an unknown DID")
    expect(unknown.message, matches=f".*{UNKNOWN}", what="the message, which holds the DID")
    expect(
        {text: (answer.code, answer.fields) for text, answer in malformed.items()},
        equals=dict.fromkeys(MALFORMED_DIDS, ("INVALID_ARGUMENT", ("did",))),
        what=f"{method} of malformed DIDs",
    )
    expect((await identity.resolve(decoy.did)).did, equals=decoy.did, what="the decoy")


async def test_idn_11_a_deleted_did_stays_deleted(node: Node) -> None:
    """IDN-11: A deleted DID stays deleted, also after a restart, and is never issued again."""
    service = await node.start()
    deleted, decoy = await service.create(), await service.create()
    await service.delete(deleted.did)

    before = await _answers_of(service, deleted.did)
    await service.stop()
    service = await node.start()
    after = await _answers_of(service, deleted.did)
    issued = {
        result.did for result in await service.batch([pb.CreateDIDRequest(method="key")] * 100)
    }

    expected = dict.fromkeys(("ResolveDID", "UpdateDID", "DeleteDID"), "NOT_FOUND")
    expect(before, equals=expected, what="calls on the deleted DID")
    expect(after, equals=expected, what="calls on the deleted DID after a restart")
    expect(deleted.did in issued, equals=False, what="the deleted DID was issued again")
    await service.resolve(decoy.did)


async def test_idn_12_what_was_acknowledged_survives_sigkill(node: Node) -> None:
    """IDN-12: A DID whose creation was acknowledged survives SIGKILL."""
    acknowledged: dict[str, str] = {}

    for round_, most in enumerate((1, 100, 500)):
        service = await node.start()
        await _create_until_killed(
            service, f"round {round_}", len(acknowledged) + most, acknowledged
        )
        did(f"killed the service with {len(acknowledged)} DIDs acknowledged in all")

    service = await node.start()
    answers = await asyncio.gather(
        *(service.call("ResolveDID", pb.ResolveDIDRequest(did=name)) for name in acknowledged)
    )
    lost = [
        name
        for (name, value), answer in zip(acknowledged.items(), answers, strict=True)
        if answer.code != "OK" or dict(answer.response.document.properties) != {"value": value}
    ]
    expect(len(acknowledged), at_least=601, what="DIDs acknowledged")
    expect(lost, equals=[], what="acknowledged DIDs that are lost or changed")


async def test_idn_13_both_checks_agree(node: Node) -> None:
    """IDN-13: IdentityService.Check and grpc.health.v1 say the same, in every state."""
    service = await node.start()
    await service.lives()

    serving = [await _both(service, name) for name in ("", "identity", "no-such-service")]
    node.gone()
    await until(lambda: _not_serving(service), bound=0.4, what="NOT_SERVING without the store")
    not_serving = [await _both(service, name) for name in ("", "identity", "no-such-service")]
    node.back()

    expect(serving, equals=[(1, 1), (1, 1), (3, 3)], what="(Health, Identity) while serving")
    expect(not_serving, equals=[(2, 2), (2, 2), (3, 3)], what="(Health, Identity) without a store")


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


def _naming(method: str, name: str) -> Any:
    requests: dict[str, Any] = {
        "ResolveDID": pb.ResolveDIDRequest,
        "UpdateDID": pb.UpdateDIDRequest,
        "DeleteDID": pb.DeleteDIDRequest,
    }
    return requests[method](did=name)


async def _answers_of(service: Identity, name: str) -> dict[str, str]:
    return {
        method: (await service.call(method, _naming(method, name))).code
        for method in ("ResolveDID", "UpdateDID", "DeleteDID")
    }


def _errors(service: Identity) -> bool:
    """Tell whether the log holds a line at level error."""
    for line in service.process.stderr.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("level") == "error":
            return True
    return False


async def _creates(service: Identity) -> bool:
    return (await service.call("CreateDID", pb.CreateDIDRequest(method="key"))).code == "OK"


async def _not_serving(service: Identity) -> bool:
    return bool((await service.check()).response.status == NOT_SERVING)


async def _both(service: Identity, name: str) -> tuple[int, int]:
    health = await service.check(name)
    own = await service.call("Check", pb.HealthCheckRequest(service=name))
    if (health.code, own.code) != ("OK", "OK"):
        raise NonConformance(what=f"both checks of {name!r}", expected="OK", observed=(health, own))
    return health.response.status, own.response.status


async def _create_until_killed(
    service: Identity, label: str, enough: int, acknowledged: dict[str, str]
) -> None:
    """Create DIDs by 16 callers, every fourth in batches, and kill the service in mid-work."""
    killed = asyncio.Event()

    async def caller(number: int) -> None:
        for turn in range(10_000):
            value = f"{label}, caller {number}, turn {turn}"
            item = pb.CreateDIDRequest(method="key", properties={"value": value})
            if number % 4:
                answer = await service.call("CreateDID", item)
                results = [answer.response]
            else:
                answer = await service.call(
                    "BatchCreateDIDs", pb.BatchCreateDIDsRequest(requests=[item] * 3)
                )
                results = list(answer.response.dids) if answer.response else []
            if answer.code != "OK":
                return
            acknowledged.update((result.did, value) for result in results)
            if len(acknowledged) >= enough and not killed.is_set():
                killed.set()
                await service.process.kill()

    await asyncio.gather(*(caller(number) for number in range(16)))
    await service.channel.close()
    expect(killed.is_set(), equals=True, what=f"enough DIDs were created before the kill ({label})")
