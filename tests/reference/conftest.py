"""What several tests of the mesh build on."""

from collections.abc import Iterator

import pytest

from .mesh_place import Place, short_place


@pytest.fixture
def place() -> Iterator[Place]:
    """A directory with a short path, and sockets in it."""
    with short_place() as one:
        yield one
