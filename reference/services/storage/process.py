"""The storage service as a process: what is opened, in which order, and closed again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from blackhole.storage.v1 import storage_pb2, storage_pb2_grpc

from ...config.service import Settings
from ...mesh import server
from ...mesh.errors import StartError
from ...mesh.health import Health
from ..presence import StoreError, followed
from .neighbours import Neighbours, Nobody
from .servicer import StorageServicer
from .store import FileStore

DOWNLOAD_CHUNK = 256 << 10
"""Bytes: larger chunks are hardly faster, and flow control works in smaller steps."""

AROUND = 64
"""Bytes of a message that are not the chunk, at most."""


class StorageService:
    """What the storage service brings to its process."""

    full_names = (storage_pb2.DESCRIPTOR.services_by_name["StorageService"].full_name,)

    def __init__(self, servicer: StorageServicer) -> None:
        """Serve this."""
        self._servicer = servicer

    def add_to(self, grpc_server: Any) -> None:
        """Register the servicer."""
        storage_pb2_grpc.add_StorageServiceServicer_to_server(self._servicer, grpc_server)

    def drain(self) -> None:
        """Uploads and downloads end by themselves, or with the grace period."""


def run(settings: Settings) -> int:
    """Run the storage service until SIGTERM; return the exit status."""
    return server.run(settings, opened)


@asynccontextmanager
async def opened(settings: Settings, health: Health) -> AsyncIterator[StorageService]:
    """Open the store, and keep health in step with it.

    Raises:
        StartError: the store cannot be opened.
    """
    section = settings.storage
    chunk_bytes = max(1, min(DOWNLOAD_CHUNK, settings.limits.message - AROUND))
    try:
        store = FileStore(settings.data_dir / settings.name, section.flush_chunks, chunk_bytes)
    except StoreError as error:
        raise StartError(f"data_dir: {error}") from error
    try:
        async with followed(store, health, settings.watch_interval), neighbours(settings) as others:
            yield StorageService(StorageServicer(store, others, section.max_chunk_bytes))
    finally:
        store.close()


@asynccontextmanager
async def neighbours(settings: Settings) -> AsyncIterator[Neighbours]:
    """Have the services at hand that this one depends on."""
    if settings.client is None:
        yield Nobody()
        return
    # Imported here: who calls nobody starts without the mesh client.
    from ...mesh.joined import joined  # noqa: PLC0415
    from .called import Called  # noqa: PLC0415

    async with joined(settings.client) as mesh:
        yield Called(mesh.client, settings.peers)
