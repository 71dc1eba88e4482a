"""A unary call by the size of its request, over each transport, beside the least it can cost."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from blackhole.events.v1 import events_pb2 as pb
from conformance.harness.events import SERVICE

from . import floors as floor
from .arms import BARE, BOUND, RAW, SAYS, Floors, bases, dial
from .asking import Arms, Case, Question
from .served import Served

PAYLOADS = {"64B": 64, "1KiB": 1 << 10, "64KiB": 1 << 16, "1MiB": 1 << 20}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("arm", SAYS)
def test_unary(payload: str, arm: str, events: Served, floors: Floors, question: Question) -> None:
    """EventStream/Publish of an event that nobody subscribes to: nothing is stored."""
    events.has(arm)
    size = PAYLOADS[payload]
    with ExitStack() as stack:

        def arms() -> Arms:
            return {
                **{
                    name: publisher(stack.enter_context(dial(address)), size)
                    for name, address in events.addresses.items()
                },
                **{
                    name: bare_caller(stack.enter_context(dial(floors.bare(name))), size)
                    for name in BARE
                },
                **{name: stack.enter_context(floors.raw(name, bytes(size))) for name in RAW},
            }

        case = Case("unary call", payload, bytes=size)
        question.tell(case, arms, arm, *bases(arm))


def publisher(channel: grpc.Channel, size: int) -> Callable[[], object]:
    """Return what publishes an event, and checks the answer."""
    event = pb.Event(id="benchmark", type="benchmark.unary", payload=bytes(size))
    expected = pb.PublishResponse(success=True, event_id="benchmark")
    publish: Any = channel.unary_unary(
        f"/{SERVICE}/Publish",
        request_serializer=pb.Event.SerializeToString,
        response_deserializer=pb.PublishResponse.FromString,
    )

    def call() -> None:
        answer = publish(event, timeout=BOUND)
        assert answer == expected, answer

    return call


def bare_caller(channel: grpc.Channel, size: int) -> Callable[[], object]:
    """Return what calls a bare server with as many bytes."""
    unary: Any = channel.unary_unary(floor.UNARY)
    request = bytes(size)

    def call() -> None:
        assert unary(request, timeout=BOUND) == floor.DONE

    return call
