"""What storage asks of the services that it depends on, by the mesh client (FLOW-1)."""

from collections.abc import Collection
from secrets import token_hex
from typing import Any

from blackhole.identity.v1 import identity_pb2
from blackhole.ledger.v1 import ledger_pb2
from blackhole.storage.v1 import storage_pb2 as pb

from ...mesh.calls import current_call
from ...mesh.client import ServiceClient
from ...mesh.errors import FailedError, PermissionDeniedError
from ...mesh.methods import method_of
from ...mesh.onward import call_onward
from ...mesh.outgoing import CallError

IDENTITY, LEDGER = "identity", "ledger"
"""Names of the services."""

UPLOADED = "storage.file.uploaded"
"""Kind of the entries."""

_RESOLVE = method_of(identity_pb2.DESCRIPTOR.services_by_name["IdentityService"], "ResolveDID")
_APPEND = method_of(ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"], "Append")


class Called:
    """The services that an upload needs.

    Args:
        client: calls them.
        peers: names of those that there are.
    """

    def __init__(self, client: ServiceClient, peers: Collection[str]) -> None:
        """Ask nobody yet."""
        self._identity = client if IDENTITY in peers else None
        self._ledger = client if LEDGER in peers else None

    async def owner(self, context: Any) -> str:
        """Return who owns what the caller uploads: the subject of its token.

        Args:
            context: gRPC's of the upload.

        Raises:
            PermissionDeniedError: it is no DID that identity resolves.
            UnavailableError: identity did not answer.
        """
        subject = current_call().subject
        if self._identity is None:
            return subject
        request = identity_pb2.ResolveDIDRequest(did=subject)
        try:
            await call_onward(self._identity, IDENTITY, _RESOLVE, request, context)
        except CallError as error:
            raise PermissionDeniedError("the caller's subject is no DID") from error
        return subject

    async def record(self, info: pb.FileInfo, context: Any) -> int | None:
        """Append an upload to the ledger; return the index of the entry, None without a ledger.

        Args:
            info: what is known of the file.
            context: gRPC's of the upload.

        Raises:
            UnavailableError: the ledger did not answer; there may be an entry.
        """
        if self._ledger is None:
            return None
        request = ledger_pb2.AppendRequest(
            kind=UPLOADED,
            payload=info.SerializeToString(),
            # However often the client repeats the call, there is one entry.
            key=f"{UPLOADED}.{token_hex(16)}",
        )
        try:
            answer = await call_onward(self._ledger, LEDGER, _APPEND, request, context)
        except CallError as error:
            raise FailedError("failed to record the upload") from error
        return int(answer.entry.index)
