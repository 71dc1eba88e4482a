"""A new connection and its first call, over each transport."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from conformance.harness.addresses import Address
from conformance.harness.health import HEALTH, SERVING

from .arms import BOUND, RAW, SAYS, Floors, bases, dial
from .asking import Arms, Case, Question
from .served import Served


@pytest.mark.parametrize("arm", SAYS)
def test_first_call(arm: str, events: Served, floors: Floors, question: Question) -> None:
    """Health/Check on a connection that is made for it, and closed once the clock has stopped."""
    events.has(arm)
    case = Case("first call of a connection", "Check")

    def arms() -> Arms:
        return {
            **{name: checker(address, "events") for name, address in events.addresses.items()},
            **{name: checker(address, "") for name, address in floors.all_bare.items()},
            **{name: greeter(floors, name) for name in RAW},
        }

    question.tell(case, arms, arm, *bases(arm))


def checker(address: Address, service: str) -> Callable[[], object]:
    """Return what connects, checks, and gives what closes the connection."""
    request = health_pb2.HealthCheckRequest(service=service)

    def call() -> object:
        channel = dial(address)
        check: Any = channel.unary_unary(
            f"/{HEALTH}/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        assert check(request, timeout=BOUND).status == SERVING
        return channel.close

    return call


def greeter(floors: Floors, arm: str) -> Callable[[], object]:
    """Return what connects to a raw socket, exchanges a few bytes, and gives what closes it."""

    def call() -> object:
        with ExitStack() as stack:
            stack.enter_context(floors.raw(arm, bytes(8)))()
            return stack.pop_all().close

    return call
