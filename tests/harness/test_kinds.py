"""The four kinds of call at once, made by a driver that only notes what it is asked."""

import asyncio
from types import SimpleNamespace
from typing import Any

from conformance.harness.kinds import KINDS, STREAMS, Kinds, alike, ended, told
from conformance.harness.outcomes import Outcome
from conformance.harness.peer import Peer
from conformance.harness.replies import fails


class Noting:
    """Answers a call with the name that was called, once all four are asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def begin(self, name: str, *payloads: bytes, **how: Any) -> asyncio.Task[Outcome]:
        self.asked.append((name, payloads, how))
        return asyncio.create_task(self._call(name))

    async def _call(self, name: str) -> Outcome:
        return Outcome("OK", payloads=(name.encode(), str(len(self.asked)).encode()))


def _kinds(driver: Any) -> Kinds:
    return Kinds(driver, {kind: Peer(name=f"p-{kind}") for kind in KINDS})


async def test_each_kind_is_called_at_its_own_peer_and_all_at_once() -> None:
    driver = Noting()

    outcomes = await _kinds(driver).call(b"x", timeout=1.0)

    assert driver.asked == [
        (f"p-{kind}", (b"x",), {"method": kind, "timeout": 1.0}) for kind in KINDS
    ]
    assert told(outcomes) == {kind: ("OK", (f"p-{kind}".encode(), b"4")) for kind in KINDS}


async def test_some_kinds_alone_are_called() -> None:
    outcomes = await ended(_kinds(Noting()).begin(b"x", kinds=STREAMS))

    assert tuple(outcomes) == STREAMS


async def test_what_is_said_of_all_is_said_of_each() -> None:
    kinds = _kinds(Noting())
    arrival: Any = SimpleNamespace(payloads=())

    kinds.answers(fails("UNAVAILABLE"), fails("INTERNAL"))
    kinds.peers["UNARY"].arrivals.append(arrival)

    assert [len(peer._script) for peer in kinds.peers.values()] == [2, 2, 2, 2]
    assert kinds.seen(len) == alike(0) | {"UNARY": 1}
