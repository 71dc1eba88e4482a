"""Two processes of a service on one data directory, as while an update runs (VER-6, VER-7)."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from blackhole.identity.v1 import identity_pb2, identity_pb2_grpc
from blackhole.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from blackhole.storage.v1 import storage_pb2, storage_pb2_grpc
from reference.services.storage import disk
from reference.services.storage.upload import Upload

from .serving import SOON, Node, accepts, connected, short_node

WRITES = 100
"""In each process; several at once."""

AT_ONCE = 5

VERSIONS = ("1.0.0", "2.0.0")


@pytest.fixture
def node() -> Iterator[Node]:
    with short_node(services={name: {} for name in ("identity", "ledger", "storage")}) as one:
        yield one


@asynccontextmanager
async def _running(node: Node, name: str, version: str) -> AsyncIterator[Any]:
    """Run a service in a version; give a channel to it. It ends by SIGTERM, and well."""
    command = ("-m", "reference", "service", name, "--config", str(node.file))
    with (node.root / f"{name}-{version}").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *command, "--version", version), stderr=log
        )
    socket = node.socket(f"{name}@{version}")
    try:
        await accepts(socket, process)
        async with connected(socket) as channel:
            yield channel
    finally:
        process.terminate()
        async with asyncio.timeout(SOON):
            assert await process.wait() == 0


@asynccontextmanager
async def _both(node: Node, name: str) -> AsyncIterator[list[Any]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_running(node, name, one)) for one in VERSIONS]


async def _many(write: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Write again and again, some at once; return the answers."""
    numbers = iter(range(WRITES))

    async def writer() -> list[Any]:
        return [await write(number) for number in numbers]

    return list(chain(*await asyncio.gather(*(writer() for _ in range(AT_ONCE)))))


async def test_what_one_identity_creates_the_other_resolves(node: Node) -> None:
    async with _both(node, "identity") as channels:
        stubs: list[Any] = [identity_pb2_grpc.IdentityServiceStub(one) for one in channels]

        async def create(stub: Any, _number: int) -> Any:
            return await stub.CreateDID(identity_pb2.CreateDIDRequest(method="key"))

        created = await asyncio.gather(*(_many(partial(create, stub)) for stub in stubs))

        for stub, answers in zip(reversed(stubs), created, strict=True):
            for answer in answers:
                await stub.ResolveDID(identity_pb2.ResolveDIDRequest(did=answer.did))
            (first, *_) = answers
            await stub.DeleteDID(identity_pb2.DeleteDIDRequest(did=first.did))


async def test_two_ledgers_write_one_chain(node: Node) -> None:
    async with _both(node, "ledger") as channels:
        stubs: list[Any] = [ledger_pb2_grpc.LedgerServiceStub(one) for one in channels]

        async def append(stub: Any, number: int) -> Any:
            return await stub.Append(ledger_pb2.AppendRequest(kind="k", payload=b"%d" % number))

        answers = await asyncio.gather(*(_many(partial(append, stub)) for stub in stubs))

        told = [answer.entry for each in answers for answer in each]
        assert sorted(entry.index for entry in told) == list(range(len(VERSIONS) * WRITES))
        for stub in stubs:
            for entry in told:
                got = await stub.GetEntry(ledger_pb2.GetEntryRequest(index=entry.index))
                assert got.entry == entry
    # It verifies the whole chain before it serves.
    async with _running(node, "ledger", "3.0.0"):
        pass


async def test_starts_of_storage_disturb_no_upload_of_another(node: Node) -> None:
    over = asyncio.Event()

    async def upload(stub: Any, number: int) -> list[str]:
        names: list[str] = []
        while not over.is_set():
            names.append(f"{number}-{len(names)}")
            chunk = storage_pb2.UploadFileRequest(file_id=names[-1], data=b"x" * 1000)
            await stub.UploadFile(iter([chunk]))
        return names

    async with _running(node, "storage", "1.0.0") as channel:
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        uploading = [asyncio.create_task(upload(stub, number)) for number in range(AT_ONCE)]
        for _ in range(3):
            async with _running(node, "storage", "2.0.0"):
                pass
        over.set()
        stored = chain(*await asyncio.gather(*uploading))

        for name in stored:
            told = await stub.StatFile(storage_pb2.StatFileRequest(file_id=name))
            assert told.file.size == 1000
    assert list((node.data("storage") / "tmp").iterdir()) == []
    assert "stays on the disk" not in (node.root / "storage-1.0.0").read_text()


def test_a_leftover_that_is_gone_by_then_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process ended an upload of its own after this one had listed it."""
    left = tmp_path / "left"
    left.touch()
    monkeypatch.setattr(Path, "iterdir", lambda _self: iter([tmp_path / "gone", left]))

    disk.remove_leftovers(tmp_path)

    assert not left.exists()


def test_an_upload_that_another_process_took_for_a_leftover_is_discarded(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.write([b"x"])
    for path in tmp_path.iterdir():
        path.unlink()

    upload.discard()

    with pytest.raises(OSError, match="closed"):
        upload.write([b"x"])
