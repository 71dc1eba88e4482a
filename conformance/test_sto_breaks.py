"""Chapter 9: uploads that break off, a full disk, and SIGKILL (STO-4, 8, 9)."""

import asyncio
import itertools
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from .harness.bounds import until
from .harness.disk import SmallDisk, small_disk
from .harness.judging import did, expect
from .harness.memory import MIB
from .harness.nodes import Node, peer_credentials
from .harness.raw import RawConnection
from .harness.storage import Storage, Upload, content, new_id, told
from .harness.tree import files_below

CHUNK = 4096
"""Bytes of each of six chunks: what stays of a broken upload is at least one of them."""

FLUSHED = {"storage": {"flush_chunks": 2}}

TIDY = 1.0
"""Seconds in which a broken upload must have left nothing (CONFORMANCE.md, STO-4)."""

CALLERS, ENOUGH, ROUNDS = 4, 20, 3
"""Uploads at once, answers before the kill, and kills (STO-9)."""


class Broken:
    """Uploads that stand where they will be broken off: after 0 to 6 chunks, and within one."""

    def __init__(self, storage: Storage) -> None:
        """Begin none yet."""
        self.storage = storage
        self.uploads: dict[str, Upload] = {}
        """By ID."""

    def __repr__(self) -> str:
        """Show the IDs."""
        return f"Broken({list(self.uploads)})"

    async def begin(self, raw: RawConnection, chunks: int, *, half: bool = False) -> None:
        """Begin one of six chunks, and send so many."""
        file_id = new_id()
        upload = self.uploads[file_id] = await Upload.begin(raw)
        for number in range(chunks):
            await upload.send(content(f"{file_id} {number}", CHUNK), file_id)
        if half:
            await upload.send_half(content(file_id, CHUNK), file_id)

    async def begin_all(self, stack: AsyncExitStack) -> list[RawConnection]:
        """Begin one for each place to break off; return the connections that they are on.

        Once another upload was answered the service has had these before it.
        """
        raws = []
        for chunks, half in [*((chunks, False) for chunks in range(7)), (0, True), (3, True)]:
            raw = await stack.enter_async_context(RawConnection(self.storage.address))
            await self.begin(raw, chunks, half=half)
            raws.append(raw)
        await self.storage.lives()
        await self.expect_none("while their uploads are in flight")
        return raws

    async def expect_none(self, when: str, storage: Storage | None = None) -> None:
        """Make sure that no file is there."""
        stats = {name: (await (storage or self.storage).stat(name)).code for name in self.uploads}
        expect(stats, equals=dict.fromkeys(self.uploads, "NOT_FOUND"), what=f"StatFile {when}")


async def test_sto_4_an_upload_that_breaks_off_leaves_nothing(node: Node) -> None:
    """STO-4: An upload that is cancelled, or whose connection ends, leaves nothing."""
    storage = await node.serve(Storage, FLUSHED)
    await storage.uploaded("whole", b"a control")

    for how in ("cancelled", "closed"):
        before, broken = files_below(node.data_dir), Broken(storage)
        async with AsyncExitStack() as stack:
            raws = await broken.begin_all(stack)
            did(f"break off {len(raws)} uploads: {how}")
            for raw, upload in zip(raws, broken.uploads.values(), strict=True):
                await (upload.cancel() if how == "cancelled" else raw.close())
            await _tidy(node.data_dir, before)

        await broken.expect_none(f"of uploads that were {how}")
        await _again(storage, broken)


async def test_sto_4_a_killed_service_leaves_nothing(node: Node) -> None:
    """STO-4: Uploads in flight when the service is killed leave nothing once it is back."""
    storage = await node.serve(Storage, FLUSHED)
    await storage.uploaded("whole", b"a control")
    before, broken = files_below(node.data_dir), Broken(storage)

    async with AsyncExitStack() as stack:
        await broken.begin_all(stack)
        await storage.kill()
        did(f"killed the service with {len(broken.uploads)} uploads in flight")
    storage = await node.serve(Storage, FLUSHED)
    await _tidy(node.data_dir, before)

    await broken.expect_none("after the restart", storage)
    expect(await storage.content("whole"), equals=b"a control", what="a file from before the kill")
    await _again(storage, broken)


async def test_sto_8_a_full_disk_is_told(node: Node) -> None:
    """STO-8: An upload for which there is no room is refused, and leaves nothing."""
    disk = small_disk(node.data_dir)
    storage = await node.serve(Storage, wrapper=disk.wrapper)
    first, third = content("first", MIB), content("third", MIB)
    await storage.uploaded("first", first)
    process, before = peer_credentials(storage.path), _bytes(disk, storage)

    async with RawConnection(storage.address) as raw:
        upload = await Upload.begin(raw)
        for number in range(16):
            await upload.send(content(f"second {number}", MIB), "second")
        answer = await upload.finish()
    did(f"uploaded 16 MiB to {disk.words}: {answer}")

    expect(answer.code, one_of=("RESOURCE_EXHAUSTED", "INTERNAL"), what="an upload of 16 MiB")
    expect((await storage.stat("second")).code, equals="NOT_FOUND", what="StatFile of it")
    await until(
        lambda: _bytes(disk, storage) - before < MIB,
        bound=TIDY,
        what="the space of the refused upload is free again",
        seen=lambda: f"{_bytes(disk, storage)} bytes, {before} before it",
    )
    await storage.uploaded("third", third)
    expect(
        {name: told(await storage.content(name)) for name in ("first", "third")},
        equals={"first": told(first), "third": told(third)},
        what="the files before and after it",
    )
    expect(peer_credentials(storage.path), equals=process, what="PID and user of the service")


async def test_sto_9_what_was_acknowledged_survives_sigkill(node: Node) -> None:
    """STO-9: A file whose upload was answered OK survives SIGKILL; any other is whole or not."""
    numbers, acknowledged = itertools.count(), set[str]()
    uploaded: dict[str, bytes] = {}

    for round_ in range(ROUNDS):
        storage = await node.serve(Storage)
        await _upload_until_killed(storage, numbers, uploaded, acknowledged)
        did(f"round {round_}: killed with {len(acknowledged)} of {len(uploaded)} acknowledged")
    storage = await node.serve(Storage)
    found = {name: await _found(storage, name) for name in uploaded}

    expect(len(acknowledged), at_least=ROUNDS * ENOUGH, what="files acknowledged")
    expect(
        {name: found[name] for name in acknowledged},
        equals={name: told(uploaded[name]) for name in acknowledged},
        what="(size, SHA-256) of acknowledged files",
    )
    torn = {name: seen for name, seen in found.items() if seen not in (None, told(uploaded[name]))}
    expect(torn, equals={}, what="other files that are there, and not whole")


async def _upload_until_killed(
    storage: Storage, numbers: Any, uploaded: dict[str, bytes], acknowledged: set[str]
) -> None:
    """Upload by four callers, note what is acknowledged, and kill the service in mid-work."""
    enough = len(acknowledged) + ENOUGH
    killed = asyncio.Event()

    async def caller() -> None:
        while not killed.is_set():
            number = next(numbers)
            name, size = f"file{number}", (1, 5000, 70_000, 300_000)[number % 4]
            data = uploaded[name] = content(name, size)
            answer = await storage.upload(name, data[: size // 2], data[size // 2 :])
            if answer.code != "OK":
                return
            acknowledged.add(name)
            if len(acknowledged) >= enough and not killed.is_set():
                killed.set()
                await storage.process.kill()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    await storage.hang_up()
    expect(killed.is_set(), equals=True, what="enough uploads were acknowledged before the kill")


async def _found(storage: Storage, name: str) -> tuple[int, str] | str | None:
    """Return size and digest of a file as it comes back; None: there is none."""
    messages, answer = await storage.download(name)
    if answer.code != "OK":
        return None if answer.code == "NOT_FOUND" else answer.code
    return told(b"".join(messages))


async def _tidy(data_dir: Path, before: Mapping[str, int]) -> None:
    """Wait until nothing of the broken uploads is left."""

    def tidy() -> bool:
        now = files_below(data_dir)
        return set(now) <= set(before) and sum(now.values()) < sum(before.values()) + CHUNK

    await until(
        tidy,
        bound=TIDY,
        what="nothing of the broken uploads is left below data_dir",
        every=0.02,
        seen=lambda: f"{files_below(data_dir)}, before: {before}",
    )


async def _again(storage: Storage, broken: Broken) -> None:
    """Upload the same IDs, whole."""
    sizes = {name: (await storage.upload(name, b"whole", b" now")).code for name in broken.uploads}
    expect(sizes, equals=dict.fromkeys(broken.uploads, "OK"), what="uploads of the same IDs")
    files = {name: await storage.content(name) for name in broken.uploads}
    expect(files, equals=dict.fromkeys(broken.uploads, b"whole now"), what="these files")


def _bytes(disk: SmallDisk, storage: Storage) -> int:
    return sum(files_below(disk.seen_by(storage.process)).values())
