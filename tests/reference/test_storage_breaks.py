"""Uploads that break off: anywhere, by SIGKILL, by a full disk; and what a start tidies up."""

import asyncio
import errno
import fcntl
import hashlib
import os
import resource
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import pytest

from blackhole.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from blackhole.storage.v1 import storage_pb2 as pb
from blackhole.storage.v1 import storage_pb2_grpc
from reference.mesh.errors import ResourceExhaustedError
from reference.services.presence import StoreError
from reference.services.storage import disk, footer
from reference.services.storage import upload as upload_module
from reference.services.storage.download import Download
from reference.services.storage.store import FileStore
from reference.services.storage.threads import Threads, disk_errors
from reference.services.storage.upload import Upload

from .mesh_place import eventually
from .serving import SOON, Node, connected, refusal, short_node

HEADERS = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/blackhole.storage.v1.StorageService/UploadFile"),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)


@pytest.fixture
def node() -> Iterator[Node]:
    with short_node(services={"storage": {}}, storage={"flush_chunks": 2}) as one:
        yield one


def _left(node: Node) -> tuple[list[str], list[str]]:
    files, temporary = (node.data("storage") / name for name in ("files", "tmp"))
    return sorted(os.listdir(files)), sorted(os.listdir(temporary))


def _frame(message: pb.UploadFileRequest) -> bytes:
    data = message.SerializeToString()
    return struct.pack(">BI", 0, len(data)) + data


FRAMES = [_frame(pb.UploadFileRequest(file_id="a", data=b"%d" % n * 20)) for n in range(4)]


def _boundaries() -> list[int]:
    """Return where a stream may be cut: around every frame, its prefix, and within it."""
    found, start = {0}, 0
    for frame in FRAMES:
        found |= {start + at for at in (1, 5, 6, len(frame) - 1, len(frame))}
        start += len(frame)
    return sorted(found)


async def _cut(node: Node, sent: bytes, how: str) -> None:
    """Send part of an upload's stream, and break off."""
    reader, writer = await asyncio.open_unix_connection(node.socket("storage"))
    wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    wire.initiate_connection()
    wire.send_headers(1, HEADERS)
    if sent:
        wire.send_data(1, sent)
    if how == "reset":
        wire.reset_stream(1, 8)
    writer.write(wire.data_to_send())
    await writer.drain()
    if how == "reset later":
        await asyncio.sleep(0.005)
        wire.reset_stream(1, 8)
        writer.write(wire.data_to_send())
        await writer.drain()
    # Whatever the server had to say was said before it closes.
    if how.startswith("reset"):
        await reader.read(1)
    writer.close()


@pytest.mark.parametrize("how", ["close", "reset", "reset later"])
async def test_an_upload_that_breaks_off_leaves_nothing(node: Node, how: str) -> None:
    async with node.serving("storage") as channel:
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        stream = b"".join(FRAMES)
        for _ in range(3):
            for end in _boundaries():
                await _cut(node, stream[:end], how)
                await eventually(lambda: _left(node)[1] == [])
                assert _left(node)[0] == []

        whole = [pb.UploadFileRequest(file_id="a", data=b"%d" % n * 20) for n in range(4)]
        await stub.UploadFile(iter(whole), timeout=SOON)
    assert _left(node) == (["a"], [])


@pytest.mark.parametrize("how", ["close", "reset", "reset later"])
async def test_the_end_of_a_broken_stream_is_not_taken_for_its_end(
    node: Node, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def at_once(_threads: Any, function: Any, *arguments: Any) -> "asyncio.Future[Any]":
        """Do it here and now, so that no cancellation comes between the end and the file."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(function(*arguments))
        return done

    monkeypatch.setattr(Threads, "submit", at_once)
    async with node.serving("storage"):
        for _ in range(20):
            for sent in (FRAMES[0], b"".join(FRAMES), b"".join(FRAMES)[:-3]):
                await _cut(node, sent, how)
        await eventually(lambda: _left(node)[1] == [])

    assert _left(node)[0] == []


async def test_what_was_acknowledged_survives_sigkill_and_the_rest_leaves_nothing(
    node: Node,
) -> None:
    acknowledged: dict[str, bytes] = {}

    for round_ in range(4):
        async with node.spawned("storage") as process, connected(node.socket("storage")) as channel:
            stub: Any = storage_pb2_grpc.StorageServiceStub(channel)

            async def uploading(writer: int, stub: Any = stub, round_: int = round_) -> None:
                for number in range(1000):
                    file_id, data = f"{round_}-{writer}-{number}", os.urandom(30_000)
                    chunks = [
                        pb.UploadFileRequest(file_id=file_id, data=data[at : at + 1000])
                        for at in range(0, len(data), 1000)
                    ]
                    stored = await stub.UploadFile(iter(chunks), timeout=SOON)
                    acknowledged[file_id] = stored.sha256

            writers = asyncio.gather(*map(uploading, range(4)), return_exceptions=True)
            while len(acknowledged) < 20 * (round_ + 1):  # noqa: ASYNC110 - no event of it
                await asyncio.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            await writers

    async with node.serving("storage") as channel:
        assert _left(node)[1] == []
        stub = storage_pb2_grpc.StorageServiceStub(channel)
        for file_id in _left(node)[0]:
            call = stub.DownloadFile(pb.DownloadFileRequest(file_id=file_id), timeout=SOON)
            data = b"".join([message.data async for message in call])
            stat = await stub.StatFile(pb.StatFileRequest(file_id=file_id), timeout=SOON)
            assert stat.file.sha256 == hashlib.sha256(data).digest()
            assert acknowledged.pop(file_id, stat.file.sha256) == stat.file.sha256
    assert acknowledged == {}


async def test_whenever_it_is_killed_every_file_is_recorded(node: Node) -> None:
    node.settings["services"] = {"ledger": {}, "storage": {"dependencies": ["ledger"]}}
    acknowledged: dict[str, int] = {}

    async with node.serving("ledger") as ledger:
        for round_ in range(4):
            async with (
                node.spawned("storage") as process,
                connected(node.socket("storage")) as channel,
            ):
                stub: Any = storage_pb2_grpc.StorageServiceStub(channel)

                async def uploading(writer: int, stub: Any = stub, round_: int = round_) -> None:
                    for number in range(1000):
                        chunk = pb.UploadFileRequest(file_id=f"{round_}-{writer}-{number}")
                        stored = await stub.UploadFile(iter([chunk]), timeout=SOON)
                        acknowledged[stored.file_id] = stored.ledger_index

                writers = asyncio.gather(*map(uploading, range(4)), return_exceptions=True)
                while len(acknowledged) < 10 * (round_ + 1):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.001)
                process.send_signal(signal.SIGKILL)
                await writers

        recorded = await _recorded(ledger)

    files = {path.name for path in (node.data("storage") / "files").iterdir()}
    assert acknowledged.keys() <= files <= set(recorded.values())
    assert {index: recorded[index] for index in acknowledged.values()} == {
        index: file_id for file_id, index in acknowledged.items()
    }


async def _recorded(ledger: Any) -> dict[int, str]:
    """Return the ID of the file in every entry there is, by its index."""
    stub: Any = ledger_pb2_grpc.LedgerServiceStub(ledger)
    end = (await stub.Append(ledger_pb2.AppendRequest(kind="end"))).entry.index
    call = stub.StreamEntries(ledger_pb2.StreamEntriesRequest(), timeout=SOON)
    entries = [(await call.read()).entry for _ in range(end)]
    call.cancel()
    return {entry.index: pb.FileInfo.FromString(entry.payload).file_id for entry in entries}


async def test_a_killed_upload_is_tidied_up_by_the_next_start(node: Node) -> None:
    async with node.spawned("storage") as process, connected(node.socket("storage")) as channel:
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        call = stub.UploadFile(timeout=SOON)
        for _ in range(9):
            await call.write(pb.UploadFileRequest(file_id="a", data=b"x" * 1000))
        await eventually(lambda: len(_left(node)[1]) == 1)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert len(_left(node)[1]) == 1

    async with node.serving("storage"):
        assert _left(node) == ([], [])


async def test_a_start_leaves_the_uploads_of_another_process_alone(node: Node) -> None:
    node.settings["services"]["storage"]["unix_socket"] = str(node.root / "s" / "other.sock")
    async with node.serving("storage") as channel:
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        call = stub.UploadFile(timeout=SOON)
        for _ in range(9):
            await call.write(pb.UploadFileRequest(file_id="a", data=b"x" * 1000))
        await eventually(lambda: len(_left(node)[1]) == 1)

        del node.settings["services"]["storage"]["unix_socket"]
        async with node.spawned("storage"):
            assert len(_left(node)[1]) == 1

        await call.done_writing()
        assert (await call).size == 9000


async def test_a_file_beyond_the_limit_is_refused_and_the_service_goes_on(node: Node) -> None:
    async with node.spawned("storage") as process, connected(node.socket("storage")) as channel:
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        large = [pb.UploadFileRequest(file_id="a", data=bytes(50_000)) for _ in range(10)]

        refused = await refusal(stub.UploadFile(iter(large), timeout=SOON))
        left = _left(node)
        stored = await stub.UploadFile(iter(large[:1]), timeout=SOON)

    assert refused == ("RESOURCE_EXHAUSTED", "there is no room on the disk", [])
    assert left == ([], [])
    assert stored.size == 50_000


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_told_from_a_broken_disk(number: int) -> None:
    with pytest.raises(ResourceExhaustedError, match="no room"), disk_errors():
        raise OSError(number, "no room")


@pytest.mark.parametrize("place", ["write_all", "sync_directory", "os.fsync", "os.link"], ids=str)
async def test_a_disk_that_fails_at_any_step_leaves_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EIO, "the disk is broken", "/secret/path")

    async with node.serving("storage") as channel:
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        chunks = [pb.UploadFileRequest(file_id="a", data=b"x" * 1000) for _ in range(9)]

        monkeypatch.setattr(f"{upload_module.__name__}.{place}", fail)
        refused = await refusal(stub.UploadFile(iter(chunks), timeout=SOON))
        monkeypatch.undo()
        left = _left(node)
        stored = await stub.UploadFile(iter(chunks), timeout=SOON)

    assert refused == ("INTERNAL", "failed to store the file", [])
    assert (left, stored.size) == (([], []), 9000)


@pytest.mark.parametrize("way", ["file", "no directory"])
def test_a_directory_that_cannot_be_made_is_told_by_its_path(tmp_path: Path, way: str) -> None:
    path = tmp_path / "storage" if way == "file" else Path("/proc/nowhere/storage")
    if way == "file":
        path.write_text("")

    with pytest.raises(StoreError, match=str(path.parent)):
        FileStore(path, 1, 1)


def test_a_directory_that_is_read_only_is_told_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: Any) -> int:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(upload_module, "make_locked", refuse)

    with pytest.raises(StoreError, match=f"{tmp_path}/storage/tmp/.*: Read-only file system"):
        FileStore(tmp_path / "storage", 1, 1)


def test_a_leftover_that_somebody_just_made_is_his(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = tmp_path / "x", fcntl.flock
    removed: list[str] = []

    def removing(file: int, how: int) -> None:
        if not removed:
            removed.append("once")
            path.unlink()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", removing)
    file = disk.make_locked(path)

    assert (removed, os.fstat(file).st_nlink, path.exists()) == (["once"], 1, True)
    os.close(file)


def test_leftovers_are_what_nobody_has_locked(tmp_path: Path) -> None:
    file = disk.make_locked(tmp_path / "locked")
    (tmp_path / "left").write_text("x")

    disk.remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["locked"]
    os.close(file)
    disk.remove_leftovers(tmp_path)

    assert os.listdir(tmp_path) == []


def test_an_upload_that_is_over_takes_nothing_more(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.write([b"x"])
    assert "size=1" in repr(upload)

    upload.discard()
    upload.discard()

    with pytest.raises(OSError, match="was closed"):
        upload.write([b"y"])
    assert list(tmp_path.iterdir()) == []


FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is too short"),
    "foreign": (b"x" * 100, "has no footer"),
    "length beyond": (b"x" * 10 + struct.pack(">I4s", 99, b"bhf1"), "has no footer"),
    "no message": (b"\xff" * 4 + struct.pack(">I4s", 4, b"bhf1"), "cannot be read"),
    "another size": (b"xx" + footer.footer_of(pb.FileInfo(size=3)), "has 2 bytes instead of 3"),
}


@pytest.mark.parametrize("case", FOREIGN)
async def test_what_is_no_file_of_ours_is_not_served(node: Node, case: str) -> None:
    content, told = FOREIGN[case]
    async with node.serving("storage") as channel:
        stub: Any = storage_pb2_grpc.StorageServiceStub(channel)
        path = node.data("storage") / "files" / "a"
        path.write_bytes(content)

        refused = await refusal(stub.StatFile(pb.StatFileRequest(file_id="a"), timeout=SOON))

    assert refused == ("INTERNAL", "internal error", [])
    with pytest.raises(ValueError, match=told):
        Download(path, 10).info()


async def test_a_file_that_shrinks_is_not_taken_for_whole(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 1, 10)
    async with store.uploading() as writing:
        await writing.add(bytes(1000))
        assert "chunks=0" in repr(writing)
        await writing.seal(pb.FileInfo(file_id="a"))
        await store.publish(writing.upload, "a")
    assert repr(store) == f"FileStore('{tmp_path}', present=True)"

    chunks = store.chunks("a")
    await anext(chunks)
    os.truncate(tmp_path / "files" / "a", 500)

    with pytest.raises(StoreError, match="files/a: ends after 500 of 1000 bytes"):
        async for _ in chunks:
            pass
    store.close()
