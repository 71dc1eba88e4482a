"""blackhole.storage.v1.StorageService."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from weakref import WeakValueDictionary

from google.protobuf.timestamp_pb2 import Timestamp

from blackhole.storage.v1 import storage_pb2 as pb
from blackhole.storage.v1 import storage_pb2_grpc

from ...mesh.errors import FailedError
from ...mesh.sending import sent
from ..presence import StoreError
from .neighbours import Neighbours
from .store import FileStore
from .validation import check_first, check_id, check_next, refuse_empty
from .writing import Writing


class StorageServicer(storage_pb2_grpc.StorageServiceServicer):
    """The methods.

    Args:
        store: is open.
        neighbours: what an upload asks of other services.
        max_chunk_bytes: largest chunk that is taken.
    """

    def __init__(self, store: FileStore, neighbours: Neighbours, max_chunk_bytes: int) -> None:
        """Serve from a store."""
        self._store = store
        self._neighbours = neighbours
        self._max_chunk_bytes = max_chunk_bytes
        self._publishing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def UploadFile(  # noqa: N802
        self, requests: AsyncIterator[pb.UploadFileRequest], context: Any
    ) -> pb.UploadFileResponse:
        """Store a stream of chunks; what order its steps have, and why, stands in `storage`."""
        owner = await self._neighbours.owner(context)
        try:
            async with self._store.uploading() as writing:
                file_id = await self._receive(requests, writing)
                # A stream that broke off ends here like one that was ended, and its call is
                # cancelled some time later. Sending on it fails at once.
                await sent(context.send_initial_metadata(()))
                info = pb.FileInfo(file_id=file_id, owner=owner, created_at=_now())
                await writing.seal(info)
                return await self._publish(writing, info, context)
        except (StoreError, FileNotFoundError) as error:
            raise FailedError("failed to store the file") from error

    async def DownloadFile(  # noqa: N802
        self, request: pb.DownloadFileRequest, context: Any
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        """Send the bytes of a file, as fast as the caller reads (STO-7)."""
        check_id(request.file_id)
        async with aclosing(self._store.chunks(request.file_id)) as chunks:
            async for chunk in chunks:
                # Takes longer than all the rest, and files are often compressed already.
                context.disable_next_message_compression()
                yield pb.DownloadFileResponse(data=chunk)

    async def StatFile(  # noqa: N802
        self, request: pb.StatFileRequest, _context: Any
    ) -> pb.StatFileResponse:
        """Tell what is known of a file."""
        check_id(request.file_id)
        return pb.StatFileResponse(file=await self._store.info(request.file_id))

    async def DeleteFile(  # noqa: N802
        self, request: pb.DeleteFileRequest, _context: Any
    ) -> pb.DeleteFileResponse:
        """Delete a file."""
        check_id(request.file_id)
        await self._store.delete(request.file_id)
        return pb.DeleteFileResponse(deleted_at=_now())

    async def _receive(
        self, requests: AsyncIterator[pb.UploadFileRequest], writing: Writing
    ) -> str:
        """Write every chunk of a stream; return the file's ID."""
        file_id = ""
        async for chunk in requests:
            if file_id:
                check_next(chunk, file_id, self._max_chunk_bytes)
            else:
                check_first(chunk, self._max_chunk_bytes)
                file_id = chunk.file_id
                # Here already, and not once everything was sent.
                await self._store.refuse_existing(file_id)
            await writing.add(chunk.data)
        if not file_id:
            refuse_empty()
        return file_id

    async def _publish(
        self, writing: Writing, info: pb.FileInfo, context: Any
    ) -> pb.UploadFileResponse:
        async with self._publishing.setdefault(info.file_id, asyncio.Lock()):
            await self._store.refuse_existing(info.file_id)
            ledger_index = await self._neighbours.record(info, context)
            await self._store.publish(writing.upload, info.file_id)
        return pb.UploadFileResponse(
            file_id=info.file_id,
            size=info.size,
            sha256=info.sha256,
            created_at=info.created_at,
            owner=info.owner,
            ledger_index=ledger_index,
        )


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now
