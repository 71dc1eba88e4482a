"""The words that tests of storage, ledger and events are written in."""

from collections.abc import AsyncIterator

import pytest

from .events import Events
from .fixtures import SharedServices, unharmed
from .judging import not_run
from .ledger import Ledger
from .options import ATTACHED
from .storage import Storage


@pytest.fixture
async def storage(
    request: pytest.FixtureRequest, shared_services: SharedServices, transport: str
) -> AsyncIterator[Storage]:
    """A running storage service that served before the test, and must serve after it."""
    _refuse_attached(request)
    service = await shared_services.get(transport, Storage)
    async with unharmed(service):
        yield service


@pytest.fixture
async def ledger(
    request: pytest.FixtureRequest, shared_services: SharedServices, transport: str
) -> AsyncIterator[Ledger]:
    """A running ledger that served before the test, and must serve after it."""
    _refuse_attached(request)
    service = await shared_services.get(transport, Ledger)
    async with unharmed(service):
        yield service


@pytest.fixture
async def events(
    request: pytest.FixtureRequest, shared_services: SharedServices, transport: str
) -> AsyncIterator[Events]:
    """A running events service that served before the test, and must serve after it."""
    _refuse_attached(request)
    service = await shared_services.get(transport, Events)
    async with unharmed(service):
        yield service


def _refuse_attached(request: pytest.FixtureRequest) -> None:
    if request.config.stash[ATTACHED]:
        not_run("attached: the suite cannot start a service beside the one that the user started")
