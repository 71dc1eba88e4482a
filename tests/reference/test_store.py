"""The DID store: durable, shared commits, tombstones, and what happens when it is gone."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from blackhole.identity.v1 import identity_pb2 as pb
from reference.config.sections import Store
from reference.mesh.errors import NotFoundError
from reference.services.identity.store import Create, Delete, DIDStore, Update
from reference.services.presence import StoreError

SETTINGS = Store(max_batch_size=256, max_batch_wait=0.0)


@pytest.fixture
async def events() -> list[pb.DIDEvent]:
    return []


@pytest.fixture
async def store(tmp_path: Path, events: list[pb.DIDEvent]) -> AsyncIterator[DIDStore]:
    one = DIDStore(tmp_path / "data", SETTINGS, events.extend)
    yield one
    await one.close()


def _create(name: str, **properties: str) -> Create:
    return Create([pb.DIDDocument(did=f"did:key:{name}", properties=properties)])


async def test_what_was_written_is_read_also_by_the_next_process(
    tmp_path: Path, store: DIDStore
) -> None:
    (created,) = await store.write(_create("1", a="b"))
    (updated,) = await store.write(Update("did:key:1", {"c": "d"}))
    expected = pb.DIDDocument(
        did="did:key:1",
        properties={"c": "d"},
        created_at=created.timestamp,
        updated_at=updated.timestamp,
    )

    assert await store.read("did:key:1") == expected
    other = DIDStore(tmp_path / "data", SETTINGS, lambda _: None)
    assert await other.read("did:key:1") == expected
    await other.close()


async def test_a_deleted_did_is_never_found_or_created_again(store: DIDStore) -> None:
    await store.write(_create("1"))
    await store.write(Delete("did:key:1"))

    for change in (Update("did:key:1", {}), Delete("did:key:1"), Update("did:key:2", {})):
        with pytest.raises(NotFoundError, match=change.did):
            await store.write(change)
    with pytest.raises(NotFoundError):
        await store.read("did:key:1")
    with pytest.raises(StoreError, match="UNIQUE"):
        await store.write(_create("1"))


async def test_events_are_told_in_the_order_of_the_commits(
    store: DIDStore, events: list[pb.DIDEvent]
) -> None:
    await asyncio.gather(*(store.write(_create(str(n))) for n in range(50)))

    assert [event.did for event in events] == [f"did:key:{n}" for n in range(50)]


async def test_those_who_wait_share_a_commit_and_fail_alone(store: DIDStore) -> None:
    commits: list[str] = []
    store._writer.set_trace_callback(
        lambda sql: commits.append(sql) if sql.startswith("COMMIT") else None
    )

    results = await asyncio.gather(
        *(store.write(_create(str(n))) for n in range(20)),
        store.write(Delete("did:key:nobody")),
        return_exceptions=True,
    )

    assert len(commits) <= 3
    assert [type(result).__name__ for result in results] == ["list"] * 20 + ["NotFoundError"]


async def test_a_store_that_is_gone_fails_and_comes_back(tmp_path: Path, store: DIDStore) -> None:
    await store.write(_create("1"))
    data, away = tmp_path / "data", tmp_path / "away"

    data.rename(away)
    assert "present=False" in repr(store)
    with pytest.raises(StoreError, match="is gone"):
        await store.write(_create("2"))
    with pytest.raises(StoreError, match="is gone"):
        await store.read("did:key:1")
    away.rename(data)

    await store.write(_create("2"))
    assert "present=True" in repr(store)


async def test_a_failed_commit_is_rolled_back_whole(store: DIDStore) -> None:
    await store.write(_create("1"))
    both = Create([pb.DIDDocument(did="did:key:2"), pb.DIDDocument(did="did:key:1")])

    with pytest.raises(StoreError):
        await store.write(both)

    with pytest.raises(NotFoundError):
        await store.read("did:key:2")
    await store.write(_create("3"))


@pytest.mark.parametrize("kind", ["file in the way", "no database"])
def test_a_store_that_cannot_be_opened_says_where(tmp_path: Path, kind: str) -> None:
    directory = tmp_path / "data"
    if kind == "file in the way":
        directory.write_text("")
    else:
        directory.mkdir()
        (directory / "identity.db").write_text("no database" * 100)

    with pytest.raises(StoreError, match=str(directory)):
        DIDStore(directory, SETTINGS, lambda _: None)


async def test_commits_reach_the_disk_before_the_answer(store: DIDStore) -> None:
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with pytest.raises(sqlite3.OperationalError):
        store._writer.execute("COMMIT")
