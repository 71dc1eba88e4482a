"""The audit of the identity service: one record for each change of a DID, by its caller."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from blackhole.identity.v1 import identity_pb2 as pb
from reference.config.service import load
from reference.mesh.calls import Call, begin
from reference.mesh.errors import InvalidArgumentError, NotFoundError
from reference.mesh.health import Health
from reference.services.identity.process import opened
from reference.services.identity.servicer import IdentityServicer

PATH = "/blackhole.identity.v1.IdentityService"


@dataclass
class Audited:
    """A servicer, and the audit records that it leaves."""

    servicer: IdentityServicer
    log: list[Any]
    calls: list[Call] = field(default_factory=list)

    async def call(self, method: str, request: Any, subject: str = "alice") -> Any:
        """Call as the pipeline does."""
        call = Call(f"{PATH}/{method}", "r")
        call.subject, call.role, call.ask_peer = subject, "all", lambda: "unix:"
        self.calls.append(call)
        begin(call)
        return await getattr(self.servicer, method)(request, None)

    def records(self) -> list[Any]:
        """Return the records since the last time."""
        found = [line for line in self.log if line["event"] == "audit"]
        self.log.clear()
        return found


@pytest.fixture
async def audited(tmp_path: Path) -> AsyncIterator[Audited]:
    file = tmp_path / "node.json"
    file.write_text(json.dumps({"data_dir": str(tmp_path), "services": {"identity": {}}}))
    with capture_logs() as log:
        async with opened(load(file, "identity"), Health("identity")) as service:
            yield Audited(service._servicer, log)


def _record(event: str, method: str, did: str, subject: str = "alice") -> dict[str, str]:
    return {
        "event": "audit",
        "log_level": "info",
        "_event": event,
        "method": f"{PATH}/{method}",
        "peer": "unix:",
        "subject": subject,
        "did": did,
        "request_id": "r",
    }


async def test_each_change_leaves_one_record(audited: Audited) -> None:
    did = (await audited.call("CreateDID", pb.CreateDIDRequest(method="x"))).did
    assert audited.records() == [_record("did_created", "CreateDID", did)]

    await audited.call("ResolveDID", pb.ResolveDIDRequest(did=did))
    assert audited.records() == []

    await audited.call("UpdateDID", pb.UpdateDIDRequest(did=did), subject="bob")
    assert audited.records() == [_record("did_updated", "UpdateDID", did, "bob")]

    await audited.call("DeleteDID", pb.DeleteDIDRequest(did=did))
    assert audited.records() == [_record("did_deleted", "DeleteDID", did)]


async def test_a_batch_leaves_one_record_a_did(audited: Audited) -> None:
    requests = [pb.CreateDIDRequest(method="x")] * 1000

    answer = await audited.call("BatchCreateDIDs", pb.BatchCreateDIDsRequest(requests=requests))

    found = Counter(record["did"] for record in audited.records())
    assert found == Counter(created.did for created in answer.dids)
    assert set(found.values()) == {1}


async def test_what_changed_nothing_leaves_none(audited: Audited) -> None:
    with pytest.raises(InvalidArgumentError):
        await audited.call("CreateDID", pb.CreateDIDRequest())
    with pytest.raises(NotFoundError):
        await audited.call("DeleteDID", pb.DeleteDIDRequest(did="did:x:none"))

    assert audited.records() == []


async def test_a_change_whose_caller_left_leaves_its_record(audited: Audited) -> None:
    task = asyncio.create_task(audited.call("CreateDID", pb.CreateDIDRequest(method="x")))
    # One turn of the loop, in which its write is handed over.
    await asyncio.sleep(0)
    assert audited.servicer._store._batcher._running
    task.cancel()
    # As the pipeline does when a call ends.
    audited.calls[-1].ask_peer = str

    with pytest.raises(asyncio.CancelledError):
        await task
    await audited.servicer._store._batcher.close()

    (record,) = audited.records()
    assert (record["_event"], record["subject"], record["peer"]) == (
        "did_created",
        "alice",
        "unix:",
    )
