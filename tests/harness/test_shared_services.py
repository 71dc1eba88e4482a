"""Services that tests share: one that has died is not what the next test finds."""

from pathlib import Path
from typing import Any

import pytest

from conformance.harness import fixtures
from conformance.harness.fixtures import SHARED, SharedServices
from conformance.harness.identity import Identity
from conformance.harness.judging import NonConformance


class OneProcess:
    """A process that is alive until told otherwise."""

    def __init__(self) -> None:
        self.alive = True
        self.pid = 0


class OneNode:
    """A node that starts a service where it is asked to."""

    def __init__(self, made: list[Any], path: Path) -> None:
        self._path = path
        self.closed = False
        made.append(self)

    async def serve(self, kind: type[Identity]) -> Identity:
        process: Any = OneProcess()
        return kind(self._path, process, 1.0)

    async def close(self) -> None:
        self.closed = True
        raise NonConformance(what="its end", expected="0", observed="1")


async def test_a_service_that_died_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(fixtures, "node_of", lambda *_: OneNode(made, tmp_path / "s.sock"))
    config: Any = None
    services = SharedServices(config)

    first = await services.get("unix", Identity)
    again = await services.get("unix", Identity)
    process: Any = first.process
    process.alive = False
    other = await services.get("unix", Identity)
    for service in (first, other):
        await service.hang_up()

    assert (first is again, first is other) == (True, False)
    assert [node.closed for node in made] == [True, False]
    assert [node in SHARED for node in made] == [False, True]
    SHARED.remove(made[1])
