"""Chapter 26: a disk that does not confirm what was written (FLT-11)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

from blackhole.identity.v1 import identity_pb2

from .harness import syncs
from .harness.identity import Identity
from .harness.judging import did, expect, not_run, untestable
from .harness.ledger import Ledger
from .harness.nodes import Node
from .harness.service import ServedProcess
from .harness.storage import Storage, content
from .harness.syncs import Syncs

# What the disk is asked is the same whoever calls, and how.
pytestmark = pytest.mark.transports("unix")

S = TypeVar("S", bound=ServedProcess)

Write = Callable[[S, str], Awaitable[tuple[str, str]]]
"""Writes what a name stands for; returns the code, and by what to read it."""

Read = Callable[[S, str], Awaitable[Any]]
"""Returns what is found, or the code of the refusal."""

WRITES = 4
"""Writes while the disk confirms, and as many while it does not."""

REFUSED = ("UNAVAILABLE", "INTERNAL")
"""Codes of a write that is not known to be on the disk (CONFORMANCE.md, FLT-11)."""

SIZE = 10_000
"""Bytes of a file."""


@pytest.fixture
async def disk() -> AsyncIterator[Syncs]:
    """What services that are started with its wrapper ask the disk to confirm.

    To be asked for before the node: what runs there needs answers until it has ended.
    """
    async with syncs.syncs() as asked:
        yield asked


async def test_flt_11_no_did_before_the_disk_confirms_it(disk: Syncs, node: Node) -> None:
    """FLT-11: A DID of which the disk does not confirm that it is kept is not acknowledged."""

    async def create(service: Identity, name: str) -> tuple[str, str]:
        request = identity_pb2.CreateDIDRequest(method="key", properties={"name": name})
        answer = await service.call("CreateDID", request)
        return answer.code, answer.response.did if answer.response else ""

    async def resolve(service: Identity, did_: str) -> Any:
        return (await service.resolve(did_)).properties["name"]

    service = await node.serve(Identity, wrapper=disk.wrapper)
    await _expect_confirmed(disk, service, create)
    kept = await _written(service, create)
    await _expect_refused(disk, service, create, "file")

    await _expect_kept(await _restarted(node, service), resolve, kept)


@pytest.mark.also_profile("platform")
async def test_flt_11_no_entry_before_the_disk_confirms_it(disk: Syncs, node: Node) -> None:
    """FLT-11: An entry of which the disk does not confirm that it is kept is not acknowledged."""

    async def append(service: Ledger, name: str) -> tuple[str, str]:
        answer = await service.append("test", name.encode())
        return answer.code, str(answer.response.entry.index) if answer.response else ""

    async def entry(service: Ledger, index: str) -> Any:
        return (await service.entry(int(index))).payload.decode()

    service = await node.serve(Ledger, wrapper=disk.wrapper)
    await _expect_confirmed(disk, service, append)
    kept = await _written(service, append)
    await _expect_refused(disk, service, append, "file")

    await _expect_kept(await _restarted(node, service), entry, kept)


@pytest.mark.also_profile("platform")
@pytest.mark.parametrize("kind", ["file", "directory"])
async def test_flt_11_no_upload_before_the_disk_confirms_it(
    disk: Syncs, node: Node, kind: str
) -> None:
    """FLT-11: A file of which the disk does not confirm that it is kept is not acknowledged."""

    async def upload(service: Storage, name: str) -> tuple[str, str]:
        return (await service.upload(name, content(name, SIZE))).code, name

    async def whole(service: Storage, name: str) -> Any:
        return name if await service.content(name) == content(name, SIZE) else "something else"

    service = await node.serve(Storage, wrapper=disk.wrapper)
    await _expect_confirmed(disk, service, upload)
    kept = await _written(service, upload)
    if kind == "directory" and not disk.seen[kind]:
        did("it keeps files in one that was there before: no directory is to be confirmed")
        return
    refused = await _expect_refused(disk, service, upload, kind)

    service = await _restarted(node, service)
    await _expect_kept(service, whole, kept)
    for name in refused:
        if (await service.stat(name)).code == "OK":
            expect(await whole(service, name), equals=name, what=f"file {name}, not acknowledged")


async def _expect_confirmed(disk: Syncs, service: S, write: Write[S]) -> None:
    """Write one by one, each of them confirmed by the disk before it is answered."""
    asked = []
    for number in range(WRITES):
        before = disk.seen.total()
        code, _ = await write(service, f"control-{number}")
        if code != "OK":
            untestable(f"a write while the disk confirms everything: {code}")
        asked.append(disk.seen.total() - before)
    if not all(asked) and (target := syncs.writes_through(service.process)):
        not_run(f"{target} is written durably without a request, which cannot be refused here")
    expect(
        min(asked),
        at_least=1,
        what="times that the disk was asked to confirm a write before it was acknowledged",
    )


async def _written(service: S, write: Write[S]) -> dict[str, str]:
    """Write; return what was written, by what to read it."""
    kept = {}
    for number in range(WRITES):
        code, key = await write(service, name := f"kept-{number}")
        if code != "OK":
            untestable(f"a write while the disk confirms everything: {code}")
        kept[key] = name
    return kept


async def _expect_refused(disk: Syncs, service: S, write: Write[S], kind: str) -> list[str]:
    """Write while the disk confirms nothing of a kind; return the names."""
    disk.refuse(kind)
    names = [f"refused-{number}" for number in range(WRITES)]
    codes = [(await write(service, name))[0] for name in names]
    disk.refuse()
    for code in codes:
        expect(code, one_of=REFUSED, what=f"code of a write whose {kind} the disk did not confirm")
    return names


async def _restarted(node: Node, service: S) -> S:
    """Kill a service, if it still runs, and start it on a disk that works."""
    await service.process.kill()
    await service.hang_up()
    return await node.serve(type(service))


async def _expect_kept(service: S, read: Read[S], kept: dict[str, str]) -> None:
    """Find what was acknowledged, and use the service."""
    found = {key: await read(service, key) for key in kept}
    expect(found, equals=kept, what="what was acknowledged before, after a restart")
    await service.lives()
