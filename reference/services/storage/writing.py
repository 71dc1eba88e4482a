"""Writing one upload: chunks in, and now and then a thread that takes them to the disk."""

from typing import TYPE_CHECKING

from blackhole.storage.v1 import storage_pb2 as pb

from .threads import Threads, disk_errors
from .upload import Upload

if TYPE_CHECKING:
    import asyncio

FLUSH_BYTES = 1 << 20
"""Bytes that are held at most before they are written, but for the chunk that exceeds them."""


class Writing:
    """Chunks on their way to the disk.

    While some are written, the next are received, up to as many; more are left to
    the caller, whom flow control holds back (STO-3, STO-7).

    Args:
        upload: takes them.
        threads: do the work.
        flush_chunks: chunks that are held at most.
    """

    def __init__(self, upload: Upload, threads: Threads, flush_chunks: int) -> None:
        """Start with none."""
        self.upload = upload
        self._threads = threads
        self._flush_chunks = flush_chunks
        self._chunks: list[bytes] = []
        self._bytes = 0
        self._writing: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        """Show what is held."""
        return f"Writing({self.upload}, chunks={len(self._chunks)}, bytes={self._bytes})"

    async def add(self, chunk: bytes) -> None:
        """Append a chunk.

        Raises:
            ResourceExhaustedError, StoreError: the disk is full, or failed, some chunks ago.
        """
        self._chunks.append(chunk)
        self._bytes += len(chunk)
        if len(self._chunks) >= self._flush_chunks or self._bytes >= FLUSH_BYTES:
            await self._flush()

    async def seal(self, info: pb.FileInfo) -> None:
        """Write what is left, and make the file whole and durable.

        Args:
            info: what is known of the file; size and SHA-256 are filled in.

        Raises:
            ResourceExhaustedError, StoreError: the disk is full, or failed.
        """
        await self._flush()
        await self._settle()
        await self._threads.run(self.upload.seal, info)

    async def _flush(self) -> None:
        await self._settle()
        chunks, self._chunks, self._bytes = self._chunks, [], 0
        self._writing = self._threads.submit(self.upload.write, chunks)

    async def _settle(self) -> None:
        if self._writing is not None:
            with disk_errors():
                await self._writing
