"""Chapters 6 and 20 for the platform's other services: their schemas, and damaged requests."""

from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor

from blackhole.events.v1 import events_pb2
from blackhole.ledger.v1 import ledger_pb2
from blackhole.storage.v1 import storage_pb2

from .harness import events, ledger, reflection, storage
from .harness.events import Events
from .harness.fixtures import SharedServices, unharmed
from .harness.judging import did, expect
from .harness.ledger import Ledger
from .harness.schemas import expect_served, file_of, methods_of
from .harness.service import ServedProcess
from .harness.storage import Storage

pytestmark = pytest.mark.also_profile("platform")

SERVICES: dict[str, tuple[type[ServedProcess], FileDescriptor, str]] = {
    "storage": (Storage, storage_pb2.DESCRIPTOR, storage.SERVICE),
    "ledger": (Ledger, ledger_pb2.DESCRIPTOR, ledger.SERVICE),
    "events": (Events, events_pb2.DESCRIPTOR, events.SERVICE),
}
"""Each with the file of protos/ that holds it, and its full name."""

BLAMED = frozenset({"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"})
"""Codes that blame the service, where only the request was wrong."""

DAMAGED = (
    b"",
    b"\xff",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x80" * 11,
    b"\x0b",
    b"\x0a\x02\xc3\x28",
    b"\x0a\x05\x00\x00\x00\x00\x00",
    b"\x12\x03abc" * 20,
)
"""Bodies that are no message, or an unusual one: cut off, endless, wrong wire types, no UTF-8."""


@pytest.mark.parametrize("name", SERVICES)
async def test_idl_5_the_other_services_have_no_other_method(
    shared_services: SharedServices, transport: str, name: str
) -> None:
    """IDL-5: A made-up method of storage, ledger or events is UNIMPLEMENTED."""
    kind, _, full_name = SERVICES[name]
    service = await shared_services.get(transport, kind)

    async with unharmed(service):
        channel = service.connect()
        control = await service.check(channel=channel)
        answer = await channel.unary(f"/{full_name}/NoSuchMethod", b"", None)
        after = await service.check(channel=channel)

        expect(control.code, equals="OK", what="Check on the same connection, before")
        expect(answer.code, equals="UNIMPLEMENTED", what=f"code of {full_name}/NoSuchMethod")
        expect(after.code, equals="OK", what="Check on the same connection, after")


@pytest.mark.parametrize("name", SERVICES)
async def test_idl_1_the_other_services_offer_the_schema(
    shared_services: SharedServices, transport: str, name: str
) -> None:
    """IDL-1: Methods, messages, fields and enums of storage, ledger and events are of protos/."""
    kind, wanted, full_name = SERVICES[name]
    service = await shared_services.get(transport, kind)

    async with unharmed(service):
        schema = await reflection.read(service.channel)
        did("read the service's own descriptors by reflection")

        expect_served(schema, wanted, full_name)


@pytest.mark.parametrize("name", SERVICES)
async def test_err_3_damaged_requests_are_the_callers_fault(
    shared_services: SharedServices, transport: str, name: str
) -> None:
    """ERR-3: Damaged requests to storage, ledger and events are never INTERNAL or UNKNOWN."""
    kind, _, full_name = SERVICES[name]
    service = await shared_services.get(transport, kind)

    async with unharmed(service):
        schema = await reflection.read(service.channel)
        methods = [m.name for m in methods_of(file_of(schema, full_name), full_name)]
        answers: dict[str, list[Any]] = {
            method: await service.channel.judged(f"/{full_name}/{method}", DAMAGED, service.check)
            for method in methods
        }

    expect(len(methods) > 1, equals=True, what="whether reflection lists methods")
    expect(
        [
            (method, body.hex(), answer.code)
            for method, answered in answers.items()
            for body, answer in zip(DAMAGED, answered, strict=True)
            if answer.code in BLAMED
        ],
        equals=[],
        what="methods, and bodies (hex) that they did not take as the caller's fault",
    )
