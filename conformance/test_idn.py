"""Chapter 7: the identity service: what it answers (IDN-1, 3, 4, 6 to 8, 11)."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.identity import Identity
from .harness.judging import expect
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
