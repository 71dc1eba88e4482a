"""What storage holds in memory of an upload, and that it never compresses a file."""

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from blackhole.storage.v1 import storage_pb2 as pb
from reference.services.storage.neighbours import Nobody
from reference.services.storage.servicer import StorageServicer
from reference.services.storage.store import FileStore
from reference.services.storage.threads import Threads
from reference.services.storage.writing import FLUSH_BYTES, Writing

from .mesh_place import eventually


class SlowUpload:
    """An upload whose disk takes nothing before it is told to."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.written: list[int] = []

    def write(self, chunks: Iterable[bytes]) -> None:
        self.open.wait()
        self.written.append(sum(map(len, chunks)))

    def seal(self, _info: pb.FileInfo) -> None:
        self.written.append(-1)


@pytest.mark.parametrize(
    ("chunk", "flush_chunks", "held"),
    [(FLUSH_BYTES // 4, 100, FLUSH_BYTES), (10, 3, 30), (2 * FLUSH_BYTES, 100, 2 * FLUSH_BYTES)],
)
async def test_a_slow_disk_holds_the_caller_back(chunk: int, flush_chunks: int, held: int) -> None:
    upload, threads, taken = SlowUpload(), Threads(), 0
    writing = Writing(upload, threads, flush_chunks)  # type: ignore[arg-type]

    async def sending() -> None:
        nonlocal taken
        for _ in range(100 * held // chunk):
            await writing.add(bytes(chunk))
            taken += chunk
        await writing.seal(pb.FileInfo())

    sender = asyncio.create_task(sending())
    await eventually(lambda: writing._bytes == held)
    # As often as it could have gone on.
    for _ in range(100):
        await asyncio.sleep(0)
    assert taken == 2 * held - chunk
    upload.open.set()
    await sender

    assert upload.written == [held] * 100 + [0, -1]
    threads.close()


class Context:
    """Counts what is not to be compressed."""

    disabled = 0

    def disable_next_message_compression(self) -> None:
        self.disabled += 1


async def test_no_message_of_a_download_is_compressed(tmp_path: Path) -> None:
    store, context = FileStore(tmp_path, 100, 1000), Context()
    async with store.uploading() as writing:
        await writing.add(bytes(10_000))
        await writing.seal(pb.FileInfo(file_id="a"))
        await store.publish(writing.upload, "a")
    servicer = StorageServicer(store, Nobody(), 1)
    request: Any = pb.DownloadFileRequest(file_id="a")

    before = [context.disabled async for _ in servicer.DownloadFile(request, context)]

    assert before == list(range(1, 11))
    store.close()
