"""The words that tests of tokens, roles, rate limits and audit are written in."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from .fixtures import SHARED, forget, node_of, unharmed
from .judging import Inconclusive, NonConformance, not_run, untestable
from .options import ATTACHED
from .security import Secured, start_secured

if TYPE_CHECKING:
    from .nodes import Node


class SharedSecured:
    """Running services that ask for tokens, one a transport, for tests that destroy nothing."""

    def __init__(self, config: pytest.Config) -> None:
        """Start nothing yet."""
        self._config = config
        self._started: dict[str, tuple[Node, Secured | NonConformance]] = {}

    async def get(self, transport: str) -> Secured:
        """Return the one that is reached so.

        Raises:
            Untestable: it does not start.
        """
        if transport not in self._started:
            node = node_of(self._config, transport)
            SHARED.append(node)
            try:
                self._started[transport] = node, await start_secured(node)
            except NonConformance as problem:
                self._started[transport] = node, problem
            except Inconclusive:
                await forget(node)
                raise
        secured = self._started[transport][1]
        if isinstance(secured, NonConformance):
            untestable(f"the service does not start: {secured}")
        return secured

    async def close(self) -> None:
        """End all of them."""
        for node, _ in self._started.values():
            await node.close()


@pytest.fixture(scope="session")
async def shared_secured(request: pytest.FixtureRequest) -> AsyncIterator[SharedSecured]:
    """The running services that ask for tokens."""
    services = SharedSecured(request.config)
    yield services
    await services.close()


@pytest.fixture
async def secured(
    request: pytest.FixtureRequest, shared_secured: SharedSecured, transport: str
) -> AsyncIterator[Secured]:
    """A running service that asks for tokens, served before the test, and must serve after it."""
    if request.config.stash[ATTACHED]:
        not_run("attached: the suite cannot configure a service that the user started")
    found = await shared_secured.get(transport)
    async with unharmed(found.service):
        yield found
