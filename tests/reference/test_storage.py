"""Storage over a real socket: uploads, downloads, and everything that is refused."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import grpc
import pytest

from blackhole.storage.v1 import storage_pb2 as pb
from blackhole.storage.v1 import storage_pb2_grpc
from reference.services.storage import store as store_module
from reference.services.storage.download import Download

from .mesh_place import eventually
from .serving import SOON, Node, refusal, short_node

CHUNK = 1000


@pytest.fixture
def node() -> Iterator[Node]:
    settings: dict[str, Any] = {
        "services": {"storage": {}},
        "storage": {"flush_chunks": 3, "max_chunk_bytes": CHUNK},
        "health": {"watch_interval": "0.1s"},
    }
    with short_node(**settings) as one:
        yield one


@pytest.fixture
async def channel(node: Node) -> AsyncIterator[Any]:
    async with node.serving("storage") as one:
        yield one


@pytest.fixture
async def roomy(node: Node) -> AsyncIterator[Any]:
    """A channel to a service that takes large chunks."""
    node.settings["storage"] = {}
    async with node.serving("storage") as one:
        yield one


def _stub(channel: Any) -> Any:
    return storage_pb2_grpc.StorageServiceStub(channel)


def _messages(file_id: str, data: bytes, size: int = CHUNK) -> list[pb.UploadFileRequest]:
    """Cut data into chunks, of which the first alone names the file."""
    starts = range(0, max(1, len(data)), size)
    return [
        pb.UploadFileRequest(file_id="" if start else file_id, data=data[start : start + size])
        for start in starts
    ]


def _upload(channel: Any, messages: Iterable[pb.UploadFileRequest], **how: Any) -> Any:
    return _stub(channel).UploadFile(iter(messages), timeout=SOON, **how)


async def _download(channel: Any, file_id: str) -> bytes:
    call = _stub(channel).DownloadFile(pb.DownloadFileRequest(file_id=file_id), timeout=SOON)
    return b"".join([message.data async for message in call])


def _left(node: Node) -> tuple[list[str], list[str]]:
    """Return the names of the files, and of what is temporary."""
    files, temporary = (node.data("storage") / name for name in ("files", "tmp"))
    return sorted(os.listdir(files)), sorted(os.listdir(temporary))


SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 7 * CHUNK, 3 << 20]


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_uploaded_is_downloaded(node: Node, channel: Any, size: int) -> None:
    data = os.urandom(size)

    stored = await _upload(channel, _messages("a", data))

    known = pb.FileInfo(
        file_id="a", size=size, sha256=hashlib.sha256(data).digest(), created_at=stored.created_at
    )
    assert stored == pb.UploadFileResponse(
        file_id="a", size=size, sha256=known.sha256, created_at=known.created_at
    )
    assert not stored.HasField("ledger_index")
    assert await _download(channel, "a") == data
    assert (await _stub(channel).StatFile(pb.StatFileRequest(file_id="a"))).file == known
    assert _left(node) == (["a"], [])


async def test_the_id_may_be_repeated_and_chunks_may_be_empty(channel: Any) -> None:
    messages = [pb.UploadFileRequest(file_id="a", data=data) for data in (b"", b"x", b"", b"y")]

    stored = await _upload(channel, messages)

    assert (stored.size, await _download(channel, "a")) == (2, b"xy")


GOOD_IDS = ["a", "A-Z_0.9", ".hidden", "...", "a" * 128, "con", "-rf"]


@pytest.mark.parametrize("file_id", GOOD_IDS)
async def test_a_file_has_exactly_the_name_it_is_given(
    node: Node, channel: Any, file_id: str
) -> None:
    await _upload(channel, _messages(file_id, b"x"))

    assert await _download(channel, file_id) == b"x"
    assert _left(node) == ([file_id], [])


BAD_IDS = ["", ".", "..", "../a", "a/b", "/etc/passwd", "a\0", "a\n", "ä", "a b", "a" * 129]


@pytest.mark.parametrize("file_id", BAD_IDS)
async def test_what_is_no_id_is_refused_by_every_method(
    node: Node, channel: Any, file_id: str
) -> None:
    stub = _stub(channel)
    calls = [
        _upload(channel, _messages(file_id, b"x")),
        stub.DownloadFile(pb.DownloadFileRequest(file_id=file_id), timeout=SOON),
        stub.StatFile(pb.StatFileRequest(file_id=file_id), timeout=SOON),
        stub.DeleteFile(pb.DeleteFileRequest(file_id=file_id), timeout=SOON),
    ]

    refused = [(await refusal(call))[::2] for call in calls]

    assert {(code, set(named).issubset({"file_id"})) for code, named in refused} == {
        ("INVALID_ARGUMENT", True)
    }
    assert _left(node) == ([], [])


BAD_STREAMS: dict[str, tuple[list[pb.UploadFileRequest], list[str]]] = {
    "no message": ([], ["file_id"]),
    "no ID": ([pb.UploadFileRequest(data=b"x")], ["file_id"]),
    "ID later": (
        [pb.UploadFileRequest(data=b"x"), pb.UploadFileRequest(file_id="a")],
        ["file_id"],
    ),
    "ID changes": (
        [*_messages("a", bytes(9 * CHUNK)), pb.UploadFileRequest(file_id="b")],
        ["file_id"],
    ),
    "first chunk too large": (_messages("a", bytes(CHUNK + 1), CHUNK + 1), ["data"]),
    "later chunk too large": (
        [*_messages("a", bytes(9 * CHUNK)), pb.UploadFileRequest(data=bytes(CHUNK + 1))],
        ["data"],
    ),
    "everything": (
        [pb.UploadFileRequest(file_id="..", data=bytes(CHUNK + 1))],
        ["file_id", "data"],
    ),
    "everything later": (
        [*_messages("a", b"x"), pb.UploadFileRequest(file_id="b", data=bytes(CHUNK + 1))],
        ["file_id", "data"],
    ),
}


@pytest.mark.parametrize("case", BAD_STREAMS)
async def test_a_stream_that_cannot_be_stored_leaves_nothing(
    node: Node, channel: Any, case: str
) -> None:
    messages, named = BAD_STREAMS[case]

    code, _, found = await refusal(_upload(channel, messages))

    assert (code, found, _left(node)) == ("INVALID_ARGUMENT", named, ([], []))


async def test_a_file_is_never_replaced(node: Node, channel: Any) -> None:
    await _upload(channel, _messages("a", b"old"))

    refused = await refusal(_upload(channel, _messages("a", b"new")))

    assert refused == ("ALREADY_EXISTS", "there is a file a already", [])
    assert await _download(channel, "a") == b"old"
    assert _left(node) == (["a"], [])


async def test_of_uploads_at_once_exactly_one_is_stored(node: Node, channel: Any) -> None:
    contents = [b"%d" % number * 5000 for number in range(8)]

    results = await asyncio.gather(
        *(_upload(channel, _messages("a", data)) for data in contents), return_exceptions=True
    )

    won = [n for n, result in enumerate(results) if isinstance(result, pb.UploadFileResponse)]
    codes = [result.code() for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert (len(won), codes) == (1, [grpc.StatusCode.ALREADY_EXISTS] * 7)
    assert await _download(channel, "a") == contents[won[0]]
    assert _left(node) == (["a"], [])


async def test_two_processes_at_once_do_not_replace_each_others_files(
    node: Node, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _upload(channel, _messages("a", b"old"))

    async def blind(_store: Any, _file_id: str) -> None:
        """See nothing, as of a file that appears just afterwards."""

    monkeypatch.setattr(store_module.FileStore, "refuse_existing", blind)
    refused = await refusal(_upload(channel, _messages("a", b"new")))

    assert refused[0] == "ALREADY_EXISTS"
    assert await _download(channel, "a") == b"old"
    assert _left(node) == (["a"], [])


async def test_a_file_that_is_not_there_is_not_found(channel: Any) -> None:
    stub = _stub(channel)
    calls = [
        stub.DownloadFile(pb.DownloadFileRequest(file_id="a"), timeout=SOON),
        stub.StatFile(pb.StatFileRequest(file_id="a"), timeout=SOON),
        stub.DeleteFile(pb.DeleteFileRequest(file_id="a"), timeout=SOON),
    ]

    for call in calls:
        assert await refusal(call) == ("NOT_FOUND", "there is no file a", [])


async def test_an_id_may_be_used_again_after_deletion(channel: Any) -> None:
    await _upload(channel, _messages("a", b"old"))

    deleted = await _stub(channel).DeleteFile(pb.DeleteFileRequest(file_id="a"))
    await _upload(channel, _messages("a", b"new"))

    assert deleted.deleted_at.seconds > 1_700_000_000
    assert await _download(channel, "a") == b"new"


async def test_a_file_deleted_meanwhile_is_streamed_to_its_end(roomy: Any) -> None:
    data = os.urandom(8 << 20)
    await _upload(roomy, _messages("a", data, 1 << 20))
    call = _stub(roomy).DownloadFile(pb.DownloadFileRequest(file_id="a"), timeout=SOON)
    first = await call.read()

    await _stub(roomy).DeleteFile(pb.DeleteFileRequest(file_id="a"))

    read = first.data
    while message := await call.read():
        read += message.data
    assert read == data


async def test_chunks_of_a_download_fit_the_limit(node: Node) -> None:
    node.settings["limits"] = {"max_message_bytes": 2000}
    async with node.serving("storage") as channel:
        await _upload(channel, _messages("a", bytes(5000)))

        call = _stub(channel).DownloadFile(pb.DownloadFileRequest(file_id="a"), timeout=SOON)

        assert [len(message.data) async for message in call] == [1936, 1936, 1128]


async def test_a_cancelled_upload_leaves_nothing(node: Node, channel: Any) -> None:
    call = _stub(channel).UploadFile(timeout=SOON)
    for message in _messages("a", bytes(9 * CHUNK)):
        await call.write(message)
    await eventually(lambda: len(_left(node)[1]) == 1)

    call.cancel()

    await eventually(lambda: _left(node) == ([], []))
    await _upload(channel, _messages("a", b"x"))


async def test_an_upload_past_its_deadline_leaves_nothing(node: Node, channel: Any) -> None:
    call = _stub(channel).UploadFile(timeout=0.2)
    for message in _messages("a", bytes(9 * CHUNK)):
        await call.write(message)

    assert (await refusal(call))[0] == "DEADLINE_EXCEEDED"
    await eventually(lambda: _left(node) == ([], []))


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[Download]:
    """Every download, as it begins."""
    begun: list[Download] = []

    def begin(*arguments: Any) -> Download:
        begun.append(Download(*arguments))
        return begun[-1]

    monkeypatch.setattr(store_module, "Download", begin)
    return begun


async def test_a_cancelled_download_is_closed(roomy: Any, downloads: list[Download]) -> None:
    await _upload(roomy, _messages("a", os.urandom(8 << 20), 1 << 20))
    call = _stub(roomy).DownloadFile(pb.DownloadFileRequest(file_id="a"), timeout=SOON)
    await call.read()
    (download,) = downloads
    assert "closed=False" in repr(download)

    call.cancel()

    await eventually(lambda: "OpenFile(-1, closed=True)" in repr(download))


async def test_a_slow_reader_is_held_back(roomy: Any, downloads: list[Download]) -> None:
    await _upload(roomy, _messages("a", os.urandom(16 << 20), 1 << 20))
    call = _stub(roomy).DownloadFile(pb.DownloadFileRequest(file_id="a"), timeout=SOON)

    first = await call.read()
    # Whatever is sent meanwhile is ahead of these answers, on the same connection.
    for _ in range(50):
        await _stub(roomy).StatFile(pb.StatFileRequest(file_id="a"))

    assert len(first.data) == 256 << 10
    assert downloads[0]._offset < 12 << 20
    call.cancel()


async def test_a_store_that_is_gone_refuses_everything_and_comes_back(
    node: Node, channel: Any
) -> None:
    await _upload(channel, _messages("a", b"x"))
    stub, away = _stub(channel), node.root / "away"

    node.data("storage").rename(away)
    refused = [
        await refusal(call)
        for call in (
            _upload(channel, _messages("b", b"x")),
            stub.DownloadFile(pb.DownloadFileRequest(file_id="a"), timeout=SOON),
            stub.StatFile(pb.StatFileRequest(file_id="a"), timeout=SOON),
            stub.DeleteFile(pb.DeleteFileRequest(file_id="a"), timeout=SOON),
        )
    ]
    away.rename(node.data("storage"))

    assert refused == [
        ("INTERNAL", "failed to store the file", []),
        *[("INTERNAL", "internal error", [])] * 3,
    ]
    await _upload(channel, _messages("b", b"x"))
    assert (await _download(channel, "a"), _left(node)) == (b"x", (["a", "b"], []))


async def test_a_store_that_goes_during_an_upload_stores_nothing(node: Node, channel: Any) -> None:
    call = _stub(channel).UploadFile(timeout=SOON)
    for message in _messages("a", bytes(9 * CHUNK)):
        await call.write(message)
    await eventually(lambda: len(_left(node)[1]) == 1)
    away = node.root / "away"

    node.data("storage").rename(away)
    await call.done_writing()
    refused = await refusal(call)
    away.rename(node.data("storage"))

    assert refused == ("INTERNAL", "failed to store the file", [])
    assert _left(node)[0] == []


async def test_what_cannot_be_tidied_up_changes_no_answer(node: Node, channel: Any) -> None:
    call = _stub(channel).UploadFile(timeout=SOON)
    for message in _messages("a", bytes(9 * CHUNK)):
        await call.write(message)
    await eventually(lambda: len(_left(node)[1]) == 1)
    away = node.root / "away"

    node.data("storage").rename(away)
    await call.write(pb.UploadFileRequest(file_id="b"))
    refused = await refusal(call)
    away.rename(node.data("storage"))

    assert (refused[0], refused[2]) == ("INVALID_ARGUMENT", ["file_id"])
