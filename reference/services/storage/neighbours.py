"""What an upload asks of others: who owns it, and to be recorded."""

from typing import Any, Protocol

from blackhole.storage.v1 import storage_pb2 as pb

from ...mesh.calls import current_call


class Neighbours(Protocol):
    """The services beside this one, as far as there are any."""

    async def owner(self, context: Any) -> str:
        """Return who owns what the caller uploads.

        Args:
            context: gRPC's of the upload.

        Raises:
            DomainError: nobody does, or nobody can tell.
        """

    async def record(self, info: pb.FileInfo, context: Any) -> int | None:
        """Record an upload; return the index of the ledger's entry, None where there is no ledger.

        Args:
            info: what is known of the file.
            context: gRPC's of the upload.

        Raises:
            DomainError: it may be recorded or not.
        """


class Nobody:
    """No neighbours: the caller's word is taken, and nothing is recorded."""

    async def owner(self, _context: Any) -> str:
        """Return the subject of the caller's token."""
        return current_call().subject

    async def record(self, _info: pb.FileInfo, _context: Any) -> None:
        """Tell nobody."""
