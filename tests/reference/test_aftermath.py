"""What stages are told of calls: soon, in order, once, and in nobody's name."""

import asyncio
from collections.abc import Sequence

import pytest

from reference.mesh import aftermath
from reference.mesh.aftermath import MANY, Aftermath
from reference.mesh.calls import NO_CALL, Call, begin, current_call
from reference.mesh.stages import Stage

from .serving import SOON


class Witness(Stage):
    """Remembers what it is told, under a name, and in whose."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self._name = name
        self._seen = seen
        self.told = asyncio.Event()
        self.of: Call | None = None

    def began(self, calls: Sequence[Call]) -> None:
        self._seen += [f"{self._name} began {call.request_id}" for call in calls]

    def done(self, calls: Sequence[Call]) -> None:
        self._seen += [f"{self._name} done {call.request_id}" for call in calls]
        self.of = current_call()
        self.told.set()


def _call(name: str = "1") -> Call:
    call = Call("/a.B/C", name, started=1)
    begin(call)
    return call


async def test_stages_are_told_soon_by_themselves() -> None:
    seen: list[str] = []
    witness = Witness("a", seen)
    after = Aftermath([witness])
    call = _call()
    after.begun(call)
    after.ended(call)
    assert seen == []
    assert repr(after) == "Aftermath(begun=1, ended=1)"

    await asyncio.wait_for(witness.told.wait(), SOON)

    assert seen == ["a began 1", "a done 1"]
    assert witness.of is NO_CALL


async def test_those_that_have_ended_are_told_in_reverse() -> None:
    seen: list[str] = []
    after = Aftermath([Witness("a", seen), Stage(), Witness("b", seen)])
    for call in (_call("1"), _call("2")):
        after.begun(call)
        after.ended(call)

    after.settle()
    after.settle()

    began = ["a began 1", "a began 2", "b began 1", "b began 2"]
    assert seen == [*began, "b done 1", "b done 2", "a done 1", "a done 2"]


async def test_one_that_goes_on_has_only_begun() -> None:
    seen: list[str] = []
    after = Aftermath([Witness("a", seen)])
    after.begun(_call())

    after.settle()

    assert seen == ["a began 1"]


async def test_many_are_told_of_at_once_and_not_by_the_call_that_makes_them_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aftermath, "SOON", 60.0)
    seen: list[str] = []
    witness = Witness("a", seen)
    after = Aftermath([witness])

    for _ in range(MANY):
        after.ended(_call())
    assert seen == []
    await asyncio.wait_for(witness.told.wait(), SOON)

    assert seen == ["a done 1"] * MANY
    assert witness.of is NO_CALL
