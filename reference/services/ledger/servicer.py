"""blackhole.ledger.v1.LedgerService."""

from collections.abc import AsyncIterator
from typing import Any

from blackhole.ledger.v1 import ledger_pb2 as pb
from blackhole.ledger.v1 import ledger_pb2_grpc

from ...mesh.errors import FailedError
from ...mesh.sending import sent
from ..presence import StoreError
from .store import Append, LedgerStore
from .tail import Tail
from .validation import check_append


class LedgerServicer(ledger_pb2_grpc.LedgerServiceServicer):
    """The methods.

    Args:
        store: is open.
        tail: knows when the store has grown.
        largest_payload: bytes.
    """

    def __init__(self, store: LedgerStore, tail: Tail, largest_payload: int) -> None:
        """Serve from a store."""
        self._store = store
        self._tail = tail
        self._largest_payload = largest_payload

    async def Append(  # noqa: N802
        self, request: pb.AppendRequest, _context: Any
    ) -> pb.AppendResponse:
        """Append an entry; durable before it is answered."""
        check_append(request, self._largest_payload)
        try:
            entry = await self._store.write(Append(request.kind, request.payload, request.key))
        except StoreError as error:
            raise FailedError("failed to append the entry") from error
        return pb.AppendResponse(entry=entry)

    async def GetEntry(  # noqa: N802
        self, request: pb.GetEntryRequest, _context: Any
    ) -> pb.GetEntryResponse:
        """Return one entry."""
        return pb.GetEntryResponse(entry=await self._store.entry(request.index))

    async def StreamEntries(  # noqa: N802
        self, request: pb.StreamEntriesRequest, context: Any
    ) -> AsyncIterator[pb.StreamEntriesResponse]:
        """Send every entry from an index on, and go on as they come."""
        await sent(context.send_initial_metadata(()))
        async for entry in self._tail.follow(self._store, request.from_index):
            yield pb.StreamEntriesResponse(entry=entry)
