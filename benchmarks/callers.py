"""Callers that wait for each answer, and check it."""

from collections.abc import Callable
from typing import Any

import grpc

from blackhole.events.v1 import events_pb2 as pb
from conformance.harness.events import SERVICE

from . import floors as floor
from .arms import BOUND


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
