"""The files below one directory, for coroutines: threads do the disk's work."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from os import path
from pathlib import Path
from typing import TypeVar

from blackhole.storage.v1 import storage_pb2 as pb

from ...mesh.errors import AlreadyExistsError, NotFoundError
from ...mesh.telemetry.logging import logger
from ..presence import StoreError, inode, sync_directory
from .disk import remove_leftovers
from .download import Download
from .threads import Threads, disk_errors
from .upload import Upload
from .writing import Writing

Found = TypeVar("Found")


class FileStore:
    """The files below one directory.

    Args:
        directory: made if it is missing.
        flush_chunks: chunks of an upload after which it is written to the disk.
        chunk_bytes: size of the chunks of a download.
    """

    def __init__(self, directory: Path, flush_chunks: int, chunk_bytes: int) -> None:
        """Open the store, and remove what a killed process left behind.

        Raises:
            StoreError: it cannot be made, read or written to.
        """
        self._files, self._temporary = directory / "files", directory / "tmp"
        self._flush_chunks = flush_chunks
        self._chunk_bytes = chunk_bytes
        try:
            prepare(self._files, self._temporary)
        except OSError as error:
            raise StoreError(f"{error.filename or directory}: {error.strerror}") from error
        self._opened = self._inodes()
        self._threads = Threads()

    def __repr__(self) -> str:
        """Show where it is, and whether it is there."""
        return f"FileStore({str(self._files.parent)!r}, present={self.present})"

    @property
    def present(self) -> bool:
        """Whether the directories that were opened are still those at their paths (HLT-5)."""
        return None not in self._opened and self._inodes() == self._opened

    async def refuse_existing(self, file_id: str) -> None:
        """Refuse to store what is there already (STO-6).

        Raises:
            AlreadyExistsError: it is.
            StoreError: the disk failed.
        """
        if await self._threads.run(path.lexists, self._files / file_id):
            raise _exists(file_id)

    @asynccontextmanager
    async def uploading(self) -> AsyncIterator[Writing]:
        """Write a file in a with block, of which nothing stays but what was published.

        Raises:
            StoreError: the store is gone.
        """
        if not self.present:
            raise StoreError(f"{self._files}: is gone")
        upload = Upload(self._temporary)
        try:
            yield Writing(upload, self._threads, self._flush_chunks)
        finally:
            # Behind the thread that may still be at work, for a call that is cancelled too.
            try:
                await asyncio.shield(self._threads.submit(upload.discard))
            except OSError as error:
                logger().warning("an upload stays on the disk until the next start", reason=error)

    async def publish(self, upload: Upload, file_id: str) -> None:
        """Let an upload that is sealed appear as a file.

        Raises:
            AlreadyExistsError: there is one of this ID.
            ResourceExhaustedError: there is no room on the disk.
            StoreError: the disk failed.
        """
        try:
            await self._threads.run(upload.publish, self._files / file_id)
        except FileExistsError:
            raise _exists(file_id) from None

    async def info(self, file_id: str) -> pb.FileInfo:
        """Return what is known of a file.

        Raises:
            NotFoundError: there is none.
            StoreError: the disk failed.
        """
        download = Download(self._files / file_id, self._chunk_bytes)
        try:
            return await self._found(file_id, self._threads.submit(download.info))
        finally:
            self._threads.submit(download.close)

    async def chunks(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file; while some are sent, the next are read.

        Raises:
            NotFoundError: there is no such file.
            StoreError: the disk failed.
        """
        download = Download(self._files / file_id, self._chunk_bytes)
        ahead = self._threads.submit(download.chunks)
        try:
            while chunks := await self._found(file_id, ahead):
                ahead = self._threads.submit(download.chunks)
                for chunk in chunks:
                    yield chunk
        finally:
            self._threads.submit(download.close)

    async def delete(self, file_id: str) -> None:
        """Remove a file, durably.

        Raises:
            NotFoundError: there is none.
            StoreError: the disk failed.
        """
        await self._found(file_id, self._threads.submit(delete, self._files / file_id))

    def close(self) -> None:
        """Wait until the threads have done what they were told."""
        self._threads.close()

    async def _found(self, file_id: str, done: Awaitable[Found]) -> Found:
        try:
            with disk_errors():
                return await done
        except FileNotFoundError:
            if self.present:
                raise NotFoundError(f"there is no file {file_id}") from None
            raise StoreError(f"{self._files}: is gone") from None
        except ValueError as error:
            raise StoreError(f"{self._files / file_id}: {error}") from error

    def _inodes(self) -> list[tuple[int, int] | None]:
        return [inode(directory) for directory in (self._files, self._temporary)]


def prepare(files: Path, temporary: Path) -> None:
    """Make the directories, find out whether they can be written to, and tidy up.

    Raises:
        OSError: they cannot.
    """
    for directory in (files, temporary):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_directory(files.parent)
    remove_leftovers(temporary)
    upload = Upload(temporary)
    upload.write(())
    upload.discard()


def delete(file: Path) -> None:
    """Remove a file, durably.

    Raises:
        OSError: it is not there, or the disk failed.
    """
    file.unlink()
    sync_directory(file.parent)


def _exists(file_id: str) -> AlreadyExistsError:
    return AlreadyExistsError(f"there is a file {file_id} already")
