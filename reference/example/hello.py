"""Calls every service of the example: `python -m reference.example.hello DIR`.

Three ways to call: a Unix socket with a token, a port with mutual TLS and a token, and as
somebody whom identity knows.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from blackhole.events.v1 import events_pb2, events_pb2_grpc
from blackhole.identity.v1 import identity_pb2, identity_pb2_grpc
from blackhole.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from blackhole.orchestrator.v1 import orchestrator_pb2, orchestrator_pb2_grpc
from blackhole.storage.v1 import storage_pb2, storage_pb2_grpc

from .minting import token

BOUND = 10.0
"""Seconds for each call; a node that starts just now is waited for."""


def bearer(text: str) -> list[tuple[str, str]]:
    """Return the metadata that brings a token."""
    return [("authorization", f"Bearer {text.strip()}")]


@contextmanager
def by_socket(directory: Path, name: str) -> Iterator[Any]:
    """Connect to a service on this host."""
    with grpc.insecure_channel(f"unix:{directory}/s/{name}.sock") as channel:
        yield channel


@contextmanager
def by_port(directory: Path, name: str) -> Iterator[Any]:
    """Connect to a service by mutual TLS, as from another host."""
    config = json.loads((directory / "node.json").read_text(encoding="utf-8"))
    place = config["services"][name]["tcp"]
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(directory / "ca.pem").read_bytes(),
        private_key=(directory / "client.key").read_bytes(),
        certificate_chain=(directory / "client.pem").read_bytes(),
    )
    with grpc.secure_channel(f"{place['host']}:{place['port']}", credentials) as channel:
        yield channel


def hello(directory: Path) -> Iterator[str]:
    """Call them all; yield what to tell of each."""
    how: dict[str, Any] = {
        "metadata": bearer((directory / "admin.token").read_text(encoding="utf-8")),
        "timeout": BOUND,
        "wait_for_ready": True,
    }

    with by_port(directory, "identity") as channel:
        identity: Any = identity_pb2_grpc.IdentityServiceStub(channel)
        newcomer = identity_pb2.CreateDIDRequest(method="key", properties={"name": "newcomer"})
        did = identity.CreateDID(newcomer, **how).did
        yield f"identity created {did}"

    with by_socket(directory, "storage") as channel:
        storage: Any = storage_pb2_grpc.StorageServiceStub(channel)
        chunk = storage_pb2.UploadFileRequest(file_id=did.rpartition(":")[2], data=b"hello")
        as_newcomer = how | {"metadata": bearer(token(directory, did, "uploader"))}
        stored = storage.UploadFile(iter([chunk]), **as_newcomer)
        yield f"storage stored {stored.size} bytes for it"

    with by_socket(directory, "ledger") as channel:
        ledger: Any = ledger_pb2_grpc.LedgerServiceStub(channel)
        recorded = ledger_pb2.GetEntryRequest(index=stored.ledger_index)
        entry = ledger.GetEntry(recorded, **how).entry
        yield f"ledger recorded it: entry {entry.index}, {entry.kind}"

    with by_socket(directory, "events") as channel:
        events: Any = events_pb2_grpc.EventStreamStub(channel)
        event = events_pb2.Event(id="1", type="hello", payload=b"hello")
        told = events.Publish(event, **how)
        yield f"events told {told.delivered} subscribers"

    with by_socket(directory, "orchestrator") as channel:
        orchestrator: Any = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
        listed = orchestrator.ListServices(orchestrator_pb2.ListServicesRequest(), **how)
        for one in listed.services:
            state = orchestrator_pb2.ServiceState.Name(one.state).removeprefix("SERVICE_STATE_")
            yield f"orchestrator: {one.name} is {state} in process {one.pid}"


def main() -> None:
    """Say hello to the example in a directory."""
    for line in hello(Path(sys.argv[1]).resolve()):
        print(line)  # noqa: T201 - asked for


if __name__ == "__main__":
    main()
