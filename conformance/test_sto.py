"""Chapter 9: what storage keeps, and what it refuses (STO-1, 2, 3, 5, 6, 7)."""

import asyncio
import hashlib
import itertools
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from blackhole.storage.v1 import storage_pb2 as pb

from .harness.bounds import passed
from .harness.judging import did, expect, not_run
from .harness.memory import MIB, Memory
from .harness.nodes import Node
from .harness.raw import RawConnection
from .harness.storage import UPLOAD, Storage, Upload, content, new_id, told
from .harness.tree import files_below

LARGEST = 4 * MIB
"""Bytes of a chunk at most, by default (config.proto)."""

FILES: dict[str, list[bytes]] = {
    "no bytes": [b""],
    "1 byte": [b"x"],
    "11 chunks": [
        content(f"chunk {number}", size)
        for number, size in enumerate((1, 0, 7, 1000, 0, 65_536, 3, 40_000, 0, 2, 123))
    ],
    "the largest chunk": [content("largest", LARGEST)],
}
"""Files by name, each as the chunks that it is uploaded in."""

LARGE = {"unix": 512, "tcp": 128}
"""MiB of a large file, by transport (STO-3)."""

GROWTH = 64.0
"""MiB by which the memory of a service must not grow (STO-3, STO-7)."""

PACE = 0.02
"""Seconds between calls beside slow ones: they show who waits, and are no load."""

BESIDE = 2.0
"""Seconds that calls beside a slow one may take (STO-7)."""


async def test_sto_1_the_answer_tells_the_whole(node: Node) -> None:
    """STO-1: An upload is answered with ID, size and SHA-256 of all its bytes."""
    storage = await node.serve(Storage, {"storage": {"flush_chunks": 4}})
    answers, infos, late = {}, {}, {}

    for case, each in itertools.product(FILES, (False, True)):
        file_id, before = new_id(), time.time_ns()
        answer = await storage.uploaded(file_id, *FILES[case], each=each)
        created = answer.created_at.ToNanoseconds()
        late[case, each] = (before <= created, created <= time.time_ns())
        answers[case, each] = (answer.file_id == file_id, answer.size, answer.sha256.hex())
        infos[case, each] = (await storage.info(file_id), _info(answer))

    expect(
        answers,
        equals={case: (True, *told(b"".join(FILES[case[0]]))) for case in answers},
        what="(its ID, size, SHA-256) in the answers",
    )
    expect(
        late,
        equals=dict.fromkeys(late, (True, True)),
        what="created_at is (not before, not after) the call",
    )
    expect(
        {case: info for case, (info, _) in infos.items()},
        equals={case: answered for case, (_, answered) in infos.items()},
        what="StatFile, and what UploadFile answered",
    )


async def test_sto_2_what_comes_back_is_what_was_stored(storage: Storage) -> None:
    """STO-2: A download is the same bytes, in messages of which none is empty."""
    files = FILES | {"5 MiB": [content("five", MIB) for _ in range(4)] + [content("5th", MIB)]}
    found = {}

    for name, chunks in files.items():
        file_id = new_id()
        await storage.uploaded(file_id, *chunks)
        messages, ended = await storage.download(file_id)
        found[name] = (ended.code, told(b"".join(messages)), messages.count(b""))
        await storage.delete(file_id)

    expect(
        found,
        equals={name: ("OK", told(b"".join(chunks)), 0) for name, chunks in files.items()},
        what="(status, (size, SHA-256), empty messages) of the downloads",
    )


async def test_sto_2_what_is_not_there_is_not_found(storage: Storage) -> None:
    """STO-2: Download, stat and delete of what is not there, or no more, are NOT_FOUND."""
    deleted = new_id()
    await storage.uploaded(deleted, b"was here")
    expect(await storage.content(deleted), equals=b"was here", what="the file")
    expect((await storage.delete(deleted)).code, equals="OK", what="DeleteFile")

    calls = {name: await _asked(storage, file_id) for name, file_id in
             {"never was": new_id(), "was deleted": deleted}.items()}  # fmt: skip
    again = await storage.uploaded(deleted, b"another")

    nothing = dict.fromkeys(("DownloadFile", "StatFile", "DeleteFile"), ("NOT_FOUND", ()))
    expect(calls, equals=dict.fromkeys(calls, nothing), what="calls for what is not there")
    expect((again.size, await storage.content(deleted)), equals=(7, b"another"), what="a new file")


async def test_sto_3_memory_stays_flat(node: Node) -> None:
    """STO-3: A large file passes up and down, and memory does not grow with it."""
    size = LARGE[node.transport]
    if shutil.disk_usage(node.directory).free < 600 * MIB:
        not_run("there are less than 600 MiB of free disk")
    storage = await node.serve(Storage)
    await storage.uploaded("small", content("small", MIB))
    memory, digest, large = Memory(storage.process), hashlib.sha256(), content("large", MIB - 8)

    async def chunks() -> AsyncIterator[pb.UploadFileRequest]:
        for number in range(size):
            chunk = number.to_bytes(8) + large
            digest.update(chunk)
            yield pb.UploadFileRequest(file_id="large", data=chunk)
            memory.note()

    answer = await storage.channel.streamed(UPLOAD, chunks(), pb.UploadFileResponse, timeout=60.0)
    memory.note()
    did(f"uploaded {size} MiB: {memory}")
    expect((answer.code, answer.message), equals=("OK", ""), what="status of the upload")
    expect(
        (answer.response.size, answer.response.sha256.hex()),
        equals=(size * MIB, digest.hexdigest()),
        what="the upload",
    )
    expect(memory.growth, at_most=GROWTH, what="MiB by which memory grew by an upload")

    down, came = hashlib.sha256(), 0
    stream = await storage.downloading("large")
    async for message in stream.each():
        down.update(message.data)
        came += len(message.data)
        memory.note()
    did(f"downloaded {size} MiB: {memory}")

    expect(
        ((await stream.ended()).code, came, down.hexdigest()),
        equals=("OK", size * MIB, digest.hexdigest()),
        what="the download",
    )
    expect(memory.growth, at_most=GROWTH, what="MiB by which memory grew by a download")


async def test_sto_5_a_name_is_no_path(node: Node) -> None:
    """STO-5: What is no file ID is INVALID_ARGUMENT naming file_id, and touches nothing."""
    decoy = node.directory / "decoy"
    decoy.write_bytes(b"not yours")
    storage = await node.serve(Storage)
    for file_id in ("...", ".x", "-", "a..b", "Az09._-" + "x" * 121):
        await storage.uploaded(file_id, b"control")
        expect(await storage.content(file_id), equals=b"control", what=f"the file {file_id!r}")
    before = _files(node)

    async with RawConnection(storage.address) as raw:
        found = {file_id: await _refusals(storage, raw, file_id) for file_id in _no_ids(decoy)}

    expect(
        found,
        equals=dict.fromkeys(
            found,
            dict.fromkeys(
                ("UploadFile", "DownloadFile", "StatFile", "DeleteFile"),
                ("INVALID_ARGUMENT", ("file_id",)),
            ),
        ),
        what="calls with what is no file ID",
    )
    expect(_files(node), equals=before, what="the files of the node")
    expect(decoy.read_bytes(), equals=b"not yours", what="a file beside data_dir")
    await storage.lives()


async def test_sto_5_a_stream_that_is_no_file_is_refused(node: Node) -> None:
    """STO-5: A stream with a wrong chunk, or with none, is INVALID_ARGUMENT naming the field."""
    most = 65_536
    storage = await node.serve(Storage, {"storage": {"max_chunk_bytes": most}})
    control = await storage.uploaded("control", b"x" * most, b"y" * most, each=True)
    expect(control.size, equals=2 * most, what="size of two chunks of the largest size")
    before = _files(node)

    found = {}
    async with RawConnection(storage.address) as raw:
        for name, (_, chunks) in STREAMS.items():
            upload = await Upload.begin(raw)
            for file_id, size in chunks:
                await upload.send(b"x" * size, file_id)
            answer = await upload.finish()
            found[name] = (answer.code, answer.fields)
    stat = {file_id: (await storage.stat(file_id)).code for file_id in ("s", "t")}

    expect(
        found,
        equals={name: ("INVALID_ARGUMENT", (field,)) for name, (field, _) in STREAMS.items()},
        what="streams that make no file",
    )
    expect(stat, equals=dict.fromkeys(stat, "NOT_FOUND"), what="StatFile afterwards")
    expect(_files(node), equals=before, what="the files of the node")
    await storage.lives()


STREAMS: dict[str, tuple[str, list[tuple[str, int]]]] = {
    "no message": ("file_id", []),
    "no ID": ("file_id", [("", 1)]),
    "no ID at first": ("file_id", [("", 1), ("s", 1)]),
    "an ID that changes": ("file_id", [("s", 1), ("t", 1)]),
    "an ID that changes late": ("file_id", [("s", 1), ("", 1), ("s", 1), ("t", 1)]),
    "a first chunk too large": ("data", [("s", 65_537)]),
    "a later chunk too large": ("data", [("s", 65_536), ("", 65_537)]),
}
"""The field that is named, and the stream: ID and size of each chunk."""


async def test_sto_6_a_taken_id_is_refused(storage: Storage) -> None:
    """STO-6: An upload under an ID that is taken is ALREADY_EXISTS, and the old bytes stay."""
    file_id = new_id()
    await storage.uploaded(file_id, b"the first")
    first = await storage.info(file_id)

    async with RawConnection(storage.address) as raw:
        upload = await Upload.begin(raw)
        await upload.send(b"the second", file_id)
        answer = await upload.finish()

    expect(answer.code, equals="ALREADY_EXISTS", what="a second upload of the same ID")
    expect(
        (await storage.content(file_id), await storage.info(file_id)),
        equals=(b"the first", first),
        what="the file",
    )


async def test_sto_6_of_many_at_once_one_wins(storage: Storage) -> None:
    """STO-6: Of eight uploads at once under one ID one is OK, and the file is that one's."""
    file_id = new_id()
    files = [content(f"caller {number}", 10_000 + number) for number in range(8)]

    async with AsyncExitStack() as stack:
        raws = [await stack.enter_async_context(RawConnection(storage.address)) for _ in files]
        uploads = [await Upload.begin(raw) for raw in raws]
        for upload, data in zip(uploads, files, strict=True):
            await upload.send(data[:5000], file_id)
        await storage.lives()
        for upload, data in zip(uploads, files, strict=True):
            await upload.send(data[5000:])
        answers = await asyncio.gather(*(upload.finish() for upload in uploads))

    expect(
        sorted(answer.code for answer in answers),
        equals=["ALREADY_EXISTS"] * 7 + ["OK"],
        what="eight uploads at once",
    )
    (winner,) = (number for number, answer in enumerate(answers) if answer.code == "OK")
    info = await storage.info(file_id)
    expect(
        {
            "the answer": (answers[winner].response.size, answers[winner].response.sha256.hex()),
            "StatFile": (info.size, info.sha256.hex()),
            "DownloadFile": told(await storage.content(file_id)),
        },
        equals=dict.fromkeys(("the answer", "StatFile", "DownloadFile"), told(files[winner])),
        what="the file of the one that is OK",
    )


async def test_sto_7_who_is_slow_is_held_back(storage: Storage) -> None:
    """STO-7: Callers that do not read cost no memory, and one that writes slowly delays nobody."""
    large, slow, chunk = new_id(), new_id(), content("large", MIB)
    await storage.uploaded(large, *[chunk] * 64)
    expect(told(await storage.content(large)), equals=told(chunk * 64), what="a file of 64 MiB")
    memory, finished = Memory(storage.process), asyncio.Event()

    idle = [await storage.downloading(large, storage.connect()) for _ in range(8)]
    async with RawConnection(storage.address) as raw:
        upload = await Upload.begin(raw)
        beside = asyncio.create_task(_beside(storage, finished, memory))
        try:
            for number in range(5):
                await passed(0.1)
                await upload.send(b"%d" % number, slow)
        finally:
            finished.set()
            others = await beside
        answer = await upload.finish()
    for stream in idle:
        stream.cancel()
    did(f"eight callers did not read, one wrote slowly, and {dict(others)} beside: {memory}")

    expect(
        set(others),
        equals={("UploadFile", "OK"), ("StatFile", "OK")},
        what="calls of others within 2 s",
    )
    expect(
        (answer.code, await storage.content(slow)),
        equals=("OK", b"01234"),
        what="the slow upload, and its file",
    )
    expect(memory.growth, at_most=GROWTH, what="MiB by which memory grew")
    await storage.delete(large)


async def _beside(
    storage: Storage, finished: asyncio.Event, memory: Memory
) -> Counter[tuple[str, str]]:
    """Upload and stat until it is finished; return how often each was answered how."""
    found: Counter[tuple[str, str]] = Counter()
    while not finished.is_set():
        file_id = new_id()
        upload = await storage.upload(file_id, b"beside", timeout=BESIDE)
        stat = await storage.stat(file_id, timeout=BESIDE)
        found.update([("UploadFile", upload.code), ("StatFile", stat.code)])
        memory.note()
        await asyncio.sleep(PACE)
    return found


def _info(answer: Any) -> pb.FileInfo:
    """Return what StatFile must tell after an upload was answered so."""
    return pb.FileInfo(
        file_id=answer.file_id,
        size=answer.size,
        sha256=answer.sha256,
        created_at=answer.created_at,
        owner=answer.owner,
    )


async def _asked(storage: Storage, file_id: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Download, stat and delete a file; return status, and the fields that are named."""
    _, download = await storage.download(file_id)
    answers = {
        "DownloadFile": download,
        "StatFile": await storage.stat(file_id),
        "DeleteFile": await storage.delete(file_id),
    }
    return {method: (answer.code, answer.fields) for method, answer in answers.items()}


async def _refusals(
    storage: Storage, raw: RawConnection, file_id: str
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Call every method with an ID; return status, and the fields that are named."""
    upload = await Upload.begin(raw)
    await upload.send(b"control", file_id)
    answer = await upload.finish()
    return {"UploadFile": (answer.code, answer.fields), **await _asked(storage, file_id)}


def _no_ids(decoy: Path) -> list[str]:
    """Return what is no file ID; some of it is the path of a file that is there."""
    return [
        *("", ".", "..", "../x", "a/b", "a/../b", str(decoy)),
        *("../" * up + decoy.name for up in range(1, 4)),
        *("a\0b", "a\nb", "a\n", " ", "a b", "a\\b", "\u00e9", "\u0663", "x" * 129),
    ]


def _files(node: Node) -> set[str]:
    return set(files_below(node.directory, but=("logs",)))
