"""The DID store.

A deleted DID leaves a tombstone, so that it stays deleted and is never issued
again (IDN-11).
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from blackhole.identity.v1 import identity_pb2 as pb

from ...config.sections import Store as StoreSettings
from ...mesh.errors import NotFoundError
from ..database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS dids (
    did TEXT PRIMARY KEY,
    document BLOB -- NULL: deleted
)
"""

Events = list[pb.DIDEvent]


@dataclass(frozen=True, slots=True)
class Create:
    """Creation of DIDs, all or none; each document bears its DID and lacks its times."""

    documents: Sequence[pb.DIDDocument]

    def apply(self, connection: sqlite3.Connection, now: Timestamp) -> Events:
        """Insert every document."""
        events = []
        for document in self.documents:
            document.created_at.CopyFrom(now)
            document.updated_at.CopyFrom(now)
            connection.execute(
                "INSERT INTO dids VALUES (?, ?)", (document.did, document.SerializeToString())
            )
            events.append(
                pb.DIDEvent(
                    did=document.did,
                    type=pb.EVENT_TYPE_CREATED,
                    timestamp=now,
                    created=pb.DIDCreated(document=document),
                )
            )
        return events


@dataclass(frozen=True, slots=True)
class Update:
    """Replacement of a DID's properties."""

    did: str
    properties: Mapping[str, str]

    def apply(self, connection: sqlite3.Connection, now: Timestamp) -> Events:
        """Change the document; raises NotFoundError before anything was changed."""
        document = fetch(connection, self.did)
        document.properties.clear()
        document.properties.update(self.properties)
        document.updated_at.CopyFrom(now)
        _replace(connection, self.did, document.SerializeToString())
        event = pb.DIDEvent(
            did=self.did,
            type=pb.EVENT_TYPE_UPDATED,
            timestamp=now,
            updated=pb.DIDUpdated(document=document),
        )
        return [event]


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletion of a DID, for ever."""

    did: str

    def apply(self, connection: sqlite3.Connection, now: Timestamp) -> Events:
        """Leave a tombstone; raises NotFoundError before anything was changed."""
        fetch(connection, self.did)
        _replace(connection, self.did, None)
        event = pb.DIDEvent(
            did=self.did, type=pb.EVENT_TYPE_DELETED, timestamp=now, deleted=pb.DIDDeleted()
        )
        return [event]


class DIDStore(Database[Events]):
    """The DIDs below one directory.

    Args:
        directory: made if it is missing.
        settings: how writes share commits.
        committed: told the events of every change, in the order of the commits, before its
            caller and in its context.
    """

    def __init__(
        self,
        directory: Path,
        settings: StoreSettings,
        committed: Callable[[Events], None],
    ) -> None:
        """Open the store.

        Raises:
            StoreError: it cannot be made, opened or written to.
        """
        super().__init__(directory / "identity.db", SCHEMA, settings, committed)

    async def read(self, did: str) -> pb.DIDDocument:
        """Return the document of a DID.

        Raises:
            NotFoundError: it never was, or was deleted.
            StoreError: the store failed.
        """
        return await self.query(lambda connection: fetch(connection, did))


def fetch(connection: sqlite3.Connection, did: str) -> pb.DIDDocument:
    """Return a document.

    Raises:
        NotFoundError: there is none.
    """
    row = connection.execute("SELECT document FROM dids WHERE did = ?", (did,)).fetchone()
    if row is None or row[0] is None:
        raise NotFoundError(f"there is no DID {did}")
    return pb.DIDDocument.FromString(row[0])


def _replace(connection: sqlite3.Connection, did: str, document: bytes | None) -> None:
    connection.execute("UPDATE dids SET document = ? WHERE did = ?", (document, did))
