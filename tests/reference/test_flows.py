"""The calls between services: an upload's owner and record, and what goes along with them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from blackhole.identity.v1 import identity_pb2, identity_pb2_grpc
from blackhole.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from blackhole.storage.v1 import storage_pb2 as pb
from blackhole.storage.v1 import storage_pb2_grpc
from reference.mesh.health import Health, HealthServicer
from reference.mesh.stages import MetadataLimit
from reference.services.storage.called import UPLOADED
from reference.services.storage.store import FileStore

from .mesh_place import eventually
from .serving import SOON, Node, refusal, short_node

SETTINGS: dict[str, Any] = {
    "services": {
        "identity": {},
        "ledger": {},
        "storage": {"dependencies": ["identity", "ledger"]},
    },
    "retry": {"initial_backoff": "0.01s"},
    "circuit": {"failure_threshold": 3, "half_open_timeout": "0.05s"},
}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node whose callers say who they are."""
    admit = MetadataLimit.admit

    def said(self: Any, call: Any, authorization: Any) -> None:
        admit(self, call, authorization)
        call.subject = str(authorization or "")

    monkeypatch.setattr(MetadataLimit, "admit", said)
    with short_node(**SETTINGS) as one:
        yield one


def _storage(channel: Any) -> Any:
    return storage_pb2_grpc.StorageServiceStub(channel)


def _upload(channel: Any, subject: str = "", timeout: float = SOON, **more: str) -> Any:
    metadata = [
        ("authorization", subject),
        *((name.replace("_", "-"), v) for name, v in more.items()),
    ]
    chunks = iter([pb.UploadFileRequest(file_id="a", data=b"xy")])
    return _storage(channel).UploadFile(
        chunks, timeout=timeout, metadata=[each for each in metadata if each[1]]
    )


async def _did(channel: Any) -> str:
    stub: Any = identity_pb2_grpc.IdentityServiceStub(channel)
    did: str = (await stub.CreateDID(identity_pb2.CreateDIDRequest(method="key"))).did
    return did


def _files(node: Node) -> list[str]:
    return [path.name for path in node.data("storage").glob("*/*")]


class Scripted:
    """Plays identity and the ledger, and keeps what arrives."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[str, dict[str, Any], float]] = []
        self.cancelled: list[str] = []
        self.answers: dict[str, Any] = {}

    async def handle(self, name: str, response: Any, context: Any) -> Any:
        """Answer as told: with a status, never, or with OK."""
        metadata = dict(context.invocation_metadata())
        self.arrivals.append((name, metadata, context.time_remaining()))
        answer = self.answers.get(name)
        if answer == "never":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
        if answer is not None:
            await context.abort(answer, "as told")
        return response

    async def ResolveDID(self, _request: Any, context: Any) -> Any:  # noqa: N802
        return await self.handle("ResolveDID", identity_pb2.ResolveDIDResponse(), context)

    async def Append(self, request: Any, context: Any) -> Any:  # noqa: N802
        entry = ledger_pb2.LedgerEntry(index=7, kind=request.kind)
        return await self.handle("Append", ledger_pb2.AppendResponse(entry=entry), context)

    def __getattr__(self, name: str) -> Any:
        if name[0].isupper():
            return None
        raise AttributeError(name)


@pytest.fixture
async def scripted(node: Node) -> AsyncIterator[Scripted]:
    one = Scripted()
    (node.root / "s").mkdir()
    async with AsyncExitStack() as stack:
        servers: dict[str, Any] = {
            "identity": identity_pb2_grpc.add_IdentityServiceServicer_to_server,
            "ledger": ledger_pb2_grpc.add_LedgerServiceServicer_to_server,
        }
        for name, add in servers.items():
            server: Any = grpc.aio.server()
            add(one, server)
            health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(Health(name)), server)
            server.add_insecure_port(f"unix:{node.socket(name)}")
            await server.start()
            stack.push_async_callback(server.stop, None)
        yield one


async def test_an_upload_has_an_owner_and_a_record(node: Node) -> None:
    async with (
        node.serving("identity") as identity,
        node.serving("ledger") as ledger,
        node.serving("storage") as storage,
    ):
        did = await _did(identity)

        stored = await _upload(storage, did)

        file = (await _storage(storage).StatFile(pb.StatFileRequest(file_id="a"))).file
        entries: Any = ledger_pb2_grpc.LedgerServiceStub(ledger)
        entry = (await entries.GetEntry(ledger_pb2.GetEntryRequest(index=0))).entry
    assert (stored.owner, stored.ledger_index, stored.HasField("ledger_index")) == (did, 0, True)
    assert file == pb.FileInfo(
        file_id="a",
        size=2,
        sha256=hashlib.sha256(b"xy").digest(),
        created_at=stored.created_at,
        owner=did,
    )
    assert (entry.kind, pb.FileInfo.FromString(entry.payload)) == ("storage.file.uploaded", file)


@pytest.mark.parametrize("subject", ["", "somebody", "did:key:nobody"])
async def test_who_is_no_did_stores_nothing(node: Node, subject: str) -> None:
    async with node.serving("identity"), node.serving("ledger") as ledger:
        async with node.serving("storage") as storage:
            refused = await refusal(_upload(storage, subject))
        stub: Any = ledger_pb2_grpc.LedgerServiceStub(ledger)
        entry = await refusal(stub.GetEntry(ledger_pb2.GetEntryRequest(), timeout=SOON))

    assert refused == ("PERMISSION_DENIED", "the caller's subject is no DID", [])
    assert (entry[0], _files(node)) == ("NOT_FOUND", [])


async def test_without_dependencies_nobody_is_asked(node: Node, scripted: Scripted) -> None:
    node.settings["services"] = {"identity": {}, "ledger": {}, "storage": {}}
    async with node.serving("storage") as storage:
        stored = await _upload(storage, "somebody")

    assert (stored.owner, stored.HasField("ledger_index")) == ("somebody", False)
    assert scripted.arrivals == []


@pytest.mark.parametrize(
    ("dependency", "asked"), [("identity", "ResolveDID"), ("ledger", "Append")]
)
async def test_a_dependency_that_is_not_listed_is_not_asked(
    node: Node, scripted: Scripted, dependency: str, asked: str
) -> None:
    node.settings["services"] = {"storage": {"dependencies": [dependency]}}
    async with node.serving("storage") as storage:
        stored = await _upload(storage, "did:x:y")

    assert (stored.owner, stored.HasField("ledger_index")) == ("did:x:y", dependency == "ledger")
    assert [name for name, _, _ in scripted.arrivals] == [asked]


async def test_what_the_caller_gave_goes_along(node: Node, scripted: Scripted) -> None:
    async with node.serving("storage") as storage:
        stored = await _upload(storage, "did:x:y", 5.0, x_request_id="the-request")

    assert stored.ledger_index == 7
    assert [name for name, _, _ in scripted.arrivals] == ["ResolveDID", "Append"]
    for _, metadata, left in scripted.arrivals:
        assert metadata["x-request-id"] == "the-request"
        # Not the 30 s of a call without a deadline; gRPC rounds what it sends, up, by 1 % at most.
        assert 0 < left <= 5.05


async def test_a_request_id_that_was_made_goes_along_too(node: Node, scripted: Scripted) -> None:
    async with node.serving("storage") as storage:
        call = _upload(storage, "did:x:y")
        await call

    made = dict(await call.trailing_metadata())["x-request-id"]
    assert [metadata["x-request-id"] for _, metadata, _ in scripted.arrivals] == [made, made]


@pytest.mark.parametrize("name", ["ResolveDID", "Append"])
async def test_cancelling_the_outer_call_cancels_the_inner_one(
    node: Node, scripted: Scripted, name: str
) -> None:
    scripted.answers[name] = "never"
    async with node.serving("storage") as storage:
        call = _upload(storage, "did:x:y")
        await eventually(lambda: any(arrival[0] == name for arrival in scripted.arrivals))

        call.cancel()

        await eventually(lambda: scripted.cancelled == [name])
        await eventually(lambda: _files(node) == [])


@pytest.mark.parametrize("name", ["ResolveDID", "Append"])
@pytest.mark.parametrize(
    "code",
    ["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "DEADLINE_EXCEEDED"],
)
async def test_a_service_that_fails_makes_the_upload_unavailable(
    node: Node, scripted: Scripted, name: str, code: str
) -> None:
    scripted.answers[name] = grpc.StatusCode[code]
    async with node.serving("storage") as storage:
        refused = await refusal(_upload(storage, "did:x:y"))

        service = {"ResolveDID": "identity", "Append": "ledger"}[name]
        assert refused == ("UNAVAILABLE", f"{service} is not available", [])
        assert _files(node) == []


async def test_a_service_that_hangs_is_given_up_in_time(node: Node, scripted: Scripted) -> None:
    node.settings["circuit"] = {"timeout": "0.1s"}
    scripted.answers["ResolveDID"] = "never"
    async with node.serving("storage") as storage:
        refused = await refusal(_upload(storage, "did:x:y"))

    assert refused[:2] == ("UNAVAILABLE", "identity is not available")


async def test_identity_may_come_later_and_go_and_come_back(node: Node) -> None:
    async with node.serving("ledger"), node.serving("storage") as storage:
        refusals = [await refusal(_upload(storage, "did:key:x", 5.0)) for _ in range(6)]
        assert {one[0] for one in refusals} == {"UNAVAILABLE"}
        for _ in range(2):
            async with node.serving("identity") as identity:
                did = await _did(identity)
                async with asyncio.timeout(SOON):
                    while True:
                        try:
                            await _upload(storage, did)
                        except grpc.aio.AioRpcError as error:
                            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017
                            await asyncio.sleep(0.01)
                        else:
                            break
                await _storage(storage).DeleteFile(pb.DeleteFileRequest(file_id="a"))
            refused = await refusal(_upload(storage, did, 5.0))
            assert (refused[0], _files(node)) == ("UNAVAILABLE", [])


async def test_a_file_that_is_there_already_is_not_recorded(node: Node, scripted: Scripted) -> None:
    async with node.serving("storage") as storage:
        results = await asyncio.gather(
            *(_upload(storage, "did:x:y") for _ in range(5)), return_exceptions=True
        )

    codes = [error.code().name for error in results if isinstance(error, grpc.aio.AioRpcError)]
    assert codes == ["ALREADY_EXISTS"] * 4
    assert [name for name, _, _ in scripted.arrivals].count("Append") == 1


async def test_the_record_comes_before_the_file(
    node: Node, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, list[str]]] = []
    publish = FileStore.publish

    async def watched(self: FileStore, upload: Any, file_id: str) -> None:
        seen.append((len(scripted.arrivals), [name for name in _files(node) if name == "a"]))
        await publish(self, upload, file_id)

    monkeypatch.setattr(FileStore, "publish", watched)
    async with node.serving("storage") as storage:
        await _upload(storage, "did:x:y")

    assert seen == [(2, [])]


async def test_a_ledger_that_refuses_the_record_is_our_fault(
    node: Node, scripted: Scripted
) -> None:
    scripted.answers["Append"] = grpc.StatusCode.INVALID_ARGUMENT
    async with node.serving("storage") as storage:
        refused = await refusal(_upload(storage, "did:x:y"))

    assert refused == ("INTERNAL", "failed to record the upload", [])
    assert _files(node) == []
    assert UPLOADED == "storage.file.uploaded"
