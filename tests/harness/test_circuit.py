"""The words for a circuit breaker, held against drivers that only pretend."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.harness import bounds
from conformance.harness.circuit import DOWN, REFUSED, Circuit
from conformance.harness.judging import Inconclusive, NonConformance, Untestable
from conformance.harness.outcomes import Outcome
from conformance.harness.replies import echo

SETTINGS = {
    "circuit": {
        "failure_threshold": 2,
        "success_threshold": 1,
        "timeout": "0.1s",
        "half_open_timeout": "0.05s",
    }
}

Admits = Callable[["Pretender"], bool]


class Pretender:
    """A driver and its peer in one; a function says which calls arrive."""

    def __init__(self, admits: Admits) -> None:
        self.name = "p"
        self.settings = SETTINGS
        self.admits = admits
        self.otherwise = echo()
        self.arrivals: list[Any] = []
        self.asked: list[tuple[str, str]] = []

    async def call(self, service: str, _payload: bytes, *, method: str, version: str) -> Outcome:
        self.asked.append((f"{service}@{version}", method))
        if not self.admits(self):
            return Outcome(*REFUSED)
        now = time.monotonic()
        self.arrivals.append(SimpleNamespace(time=now, answered=now))
        return Outcome("UNAVAILABLE" if self.otherwise is DOWN else "OK")


def _circuit(admits: Admits) -> tuple[Circuit, Any]:
    pretender: Any = Pretender(admits)
    return Circuit(pretender, pretender, "s", "1.0.0"), pretender


async def test_it_is_open_when_a_call_does_not_arrive() -> None:
    circuit, seen = _circuit(lambda one: len(one.arrivals) < 3)
    assert await circuit.opens() is seen.arrivals[2]
    assert seen.asked == [("s@1.0.0", "UNARY")] * 4
    assert seen.otherwise is not DOWN


async def test_one_that_never_opens_cannot_be_tested() -> None:
    circuit, _ = _circuit(lambda _: True)
    with pytest.raises(Untestable, match="not open after 5 failures"):
        await circuit.opens()


async def test_an_open_one_refuses_every_kind_of_call() -> None:
    circuit, seen = _circuit(lambda one: len(one.arrivals) < 2)
    await circuit.opens()
    refused = await circuit.refuses("UNARY", "BIDI_STREAM")
    assert [(outcome.code, outcome.message) for outcome in refused] == [REFUSED] * 2
    assert [method for _, method in seen.asked[-2:]] == ["UNARY", "BIDI_STREAM"]


async def test_what_arrives_while_it_is_open_is_a_failure() -> None:
    circuit, _ = _circuit(lambda one: len(one.asked) != 3)
    await circuit.opens()
    with pytest.raises(NonConformance, match="calls that arrive while the circuit is open"):
        await circuit.refuses()


async def test_nothing_can_be_said_once_the_wait_is_over() -> None:
    circuit, _ = _circuit(lambda one: len(one.asked) != 3)
    await circuit.opens()
    await circuit.passes(circuit.wait)
    with pytest.raises(Inconclusive, match=r"later than 0\.05 s"):
        await circuit.refuses()


async def test_it_is_tried_until_a_call_arrives() -> None:
    circuit, seen = _circuit(lambda one: len(one.asked) not in range(3, 7))
    await circuit.opens()
    assert (await circuit.tries()).code == "OK"
    assert (len(seen.arrivals), len(seen.asked)) == (3, 7)


async def test_one_that_nothing_gets_through_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "PROMPT", 0.01)
    circuit, _ = _circuit(lambda one: len(one.arrivals) < 2)
    await circuit.half_opens()
    with pytest.raises(NonConformance, match="a trial call arrives"):
        await circuit.tries()
