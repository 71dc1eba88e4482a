"""The ledger service as a process: what is opened, in which order, and closed again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from blackhole.ledger.v1 import ledger_pb2, ledger_pb2_grpc

from ...config.service import Settings
from ...mesh import server
from ...mesh.errors import StartError
from ...mesh.health import Health
from ..presence import StoreError, followed
from .servicer import LedgerServicer
from .store import LedgerStore
from .tail import Tail
from .validation import largest_payload


class LedgerService:
    """What the ledger service brings to its process."""

    full_names = (ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"].full_name,)

    def __init__(self, servicer: LedgerServicer, tail: Tail) -> None:
        """Put together what was opened."""
        self._servicer = servicer
        self._tail = tail

    def add_to(self, grpc_server: Any) -> None:
        """Register the servicer."""
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(self._servicer, grpc_server)

    def drain(self) -> None:
        """End everybody's following."""
        self._tail.drain()


def run(settings: Settings) -> int:
    """Run the ledger service until SIGTERM; return the exit status."""
    return server.run(settings, opened)


@asynccontextmanager
async def opened(settings: Settings, health: Health) -> AsyncIterator[LedgerService]:
    """Open and verify the store, and keep health in step with it.

    Raises:
        StartError: the store cannot be opened, or somebody changed it.
    """
    tail = Tail(settings.watch_interval)
    try:
        store = LedgerStore(settings.data_dir / settings.name, settings.store, tail.grow)
    except StoreError as error:
        raise StartError(f"data_dir: {error}") from error
    try:
        async with followed(store, health, settings.watch_interval):
            largest = largest_payload(settings.limits.message)
            yield LedgerService(LedgerServicer(store, tail, largest), tail)
    finally:
        await store.close()
