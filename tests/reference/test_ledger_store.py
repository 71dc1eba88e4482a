"""The ledger's store: what survives SIGKILL, and every way in which it is tampered with."""

import asyncio
import re
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blackhole.ledger.v1 import ledger_pb2 as pb
from blackhole.ledger.v1 import ledger_pb2_grpc
from reference.config.sections import Store
from reference.mesh.errors import ResourceExhaustedError
from reference.services.ledger.store import Append, LedgerStore
from reference.services.presence import StoreError

from .serving import SOON, Node, connected, short_node

SETTINGS = Store(max_batch_size=256, max_batch_wait=0.0)


async def _opened(directory: Path) -> LedgerStore:
    return LedgerStore(directory, SETTINGS, lambda _: None)


async def _filled(directory: Path, number: int = 5) -> LedgerStore:
    store = await _opened(directory)
    for index in range(number):
        await store.write(Append("test", b"payload-%d" % index, ""))
    return store


def _sql(statement: str) -> Callable[[Path], Any]:
    def tamper(directory: Path) -> None:
        with sqlite3.connect(directory / "ledger.db") as connection:
            connection.execute(statement)
        connection.close()

    return tamper


def _replaced(name: str, old: bytes, new: bytes) -> Callable[[Path], Any]:
    def tamper(directory: Path) -> None:
        content = (directory / name).read_bytes()
        assert old in content
        (directory / name).write_bytes(content.replace(old, new))

    return tamper


TAMPERED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "payload": (
        _sql("UPDATE entries SET payload = x'00' WHERE position = 2"),
        "entry 2 is not what",
    ),
    "bytes of the file": (
        _replaced("ledger.db", b"payload-3", b"payload-x"),
        "entry 3 is not what",
    ),
    "kind": (_sql("UPDATE entries SET kind = 'tset' WHERE position = 0"), "entry 0 is not what"),
    "key": (_sql("UPDATE entries SET key = 'k' WHERE position = 1"), "entry 1 is not what"),
    "time": (
        _sql("UPDATE entries SET nanoseconds = nanoseconds + 1 WHERE position = 4"),
        "entry 4 is not what",
    ),
    "hash": (_sql("UPDATE entries SET hash = zeroblob(32) WHERE position = 1"), "entry 1 is not"),
    "previous hash": (
        _sql("UPDATE entries SET previous_hash = zeroblob(32) WHERE position = 1"),
        "entry 1 is not what",
    ),
    "type": (
        _sql("UPDATE entries SET nanoseconds = 'soon' WHERE position = 3"),
        "entry 3 cannot be read",
    ),
    "time beyond all": (
        _sql("UPDATE entries SET nanoseconds = 9223372036854775807 WHERE position = 3"),
        "entry 3 is not what",
    ),
    "removed within": (_sql("DELETE FROM entries WHERE position = 2"), "entry 2 is missing"),
    "removed at the end": (
        _sql("DELETE FROM entries WHERE position = 4"),
        "entry 4 is missing: there were 5",
    ),
    "all removed": (_sql("DELETE FROM entries"), "entry 0 is missing: there were 5"),
    "negative": (_sql("UPDATE entries SET position = -1 WHERE position = 0"), "entry 0 cannot be"),
    "table": (_sql("DROP TABLE entries"), "entry 0 is missing: there were 5"),
    "the note": (
        _replaced("ledger.count", b"00005 ", b"00005 f"),
        "entry 4 is not the one that .*ledger.count knows",
    ),
    "no note": (lambda directory: (directory / "ledger.count").unlink(), "ledger.count.*5 entries"),
    "note of nothing": (
        lambda directory: (directory / "ledger.count").write_text("x" * 86),
        "ledger.count: tampered with: holds no number",
    ),
    "no database": (
        lambda directory: (directory / "ledger.db").write_bytes(b"no database" * 99),
        "file is not a database",
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
async def test_a_tampered_store_is_refused_by_file_and_index(tmp_path: Path, case: str) -> None:
    tamper, told = TAMPERED[case]
    store = await _filled(tmp_path)
    await store.close()
    await (await _opened(tmp_path)).close()

    tamper(tmp_path)

    with pytest.raises(StoreError, match=re.escape(str(tmp_path)) + ".*" + told):
        await _opened(tmp_path)


async def test_a_new_chain_in_the_place_of_the_old_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        await (await _filled(tmp_path / name, 2)).close()

    (tmp_path / "a" / "ledger.db").rename(tmp_path / "b" / "ledger.db")

    with pytest.raises(StoreError, match=r"entry 1 is not the one that .* knows"):
        await _opened(tmp_path / "b")


async def test_a_store_below_a_file_says_where(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("")

    with pytest.raises(StoreError, match=str(tmp_path / "d")):
        await _opened(tmp_path / "d")


async def test_a_note_that_cannot_be_opened_says_where(tmp_path: Path) -> None:
    (tmp_path / "ledger.count").mkdir()

    with pytest.raises(StoreError, match=r"ledger\.count: Is a directory"):
        await _opened(tmp_path)


async def test_a_note_that_lags_behind_is_no_fault(tmp_path: Path) -> None:
    store = await _filled(tmp_path)
    note = (tmp_path / "ledger.count").read_bytes()
    await store.write(Append("test", b"later", ""))
    await store.close()

    (tmp_path / "ledger.count").write_bytes(note)

    again = await _opened(tmp_path)
    assert (await again.entry(5)).payload == b"later"
    assert repr(again._note) == f"Note('{tmp_path}/ledger.count')"
    await again.close()


async def test_a_key_asked_for_again_does_not_turn_the_note_back(tmp_path: Path) -> None:
    store = await _opened(tmp_path)
    await store.write(Append("test", b"0", "k"))
    await store.write(Append("test", b"1", ""))
    await store.write(Append("test", b"0", "k"))
    await store.close()

    assert (tmp_path / "ledger.count").read_text().startswith("0" * 19 + "2 ")


async def test_a_page_is_bounded(tmp_path: Path) -> None:
    store = await _opened(tmp_path)
    await asyncio.gather(*(store.write(Append("k", bytes(400_000), "")) for _ in range(7)))

    pages = [len(await store.page(index)) for index in (0, 5, 7)]

    assert pages == [3, 2, 0]
    await store.close()


async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    store = await _filled(tmp_path)
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(ResourceExhaustedError, match="the disk is full"):
        await store.write(Append("test", bytes(100_000), ""))

    store._writer.execute("PRAGMA max_page_count = 1000")
    assert (await store.write(Append("test", b"", ""))).index == 5
    await store.close()


@pytest.fixture
def node() -> Any:
    with short_node(services={"ledger": {}}) as one:
        yield one


async def test_what_was_acknowledged_survives_sigkill(node: Node) -> None:
    acknowledged: list[pb.LedgerEntry] = []

    for round_ in range(3):
        async with node.spawned("ledger") as process, connected(node.socket("ledger")) as channel:
            stub: Any = ledger_pb2_grpc.LedgerServiceStub(channel)

            async def appending(writer: int, stub: Any = stub, round_: int = round_) -> None:
                for number in range(1000):
                    payload = b"%d %d %d" % (round_, writer, number)
                    request = pb.AppendRequest(kind="test", payload=payload)
                    acknowledged.append((await stub.Append(request, timeout=SOON)).entry)

            writers = asyncio.gather(*map(appending, range(8)), return_exceptions=True)
            while len(acknowledged) < 100 * (round_ + 1):  # noqa: ASYNC110 - no event of it
                await asyncio.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            await writers

    async with node.serving("ledger") as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        for entry in acknowledged:
            found = await stub.GetEntry(pb.GetEntryRequest(index=entry.index), timeout=SOON)
            assert found.entry == entry


async def test_a_tampered_log_is_refused_after_sigkill(node: Node) -> None:
    async with node.spawned("ledger") as process, connected(node.socket("ledger")) as channel:
        stub: Any = ledger_pb2_grpc.LedgerServiceStub(channel)
        for number in range(5):
            request = pb.AppendRequest(kind="test", payload=b"payload-%d" % number)
            await stub.Append(request, timeout=SOON)
        process.send_signal(signal.SIGKILL)
        await process.wait()

    # SQLite itself takes this for a log that ends before entry 3.
    _replaced("ledger.db-wal", b"payload-3", b"payload-x")(node.data("ledger"))

    refused = await asyncio.create_subprocess_exec(*_command(node), stderr=asyncio.subprocess.PIPE)
    _, log = await refused.communicate()
    assert refused.returncode == 1
    assert b"ledger.db: tampered with: entry 3 is missing: there were 5" in log


def _command(node: Node) -> list[str]:
    return [sys.executable, "-m", "reference", "service", "ledger", "--config", str(node.file)]
