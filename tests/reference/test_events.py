"""Subscriptions to DID events: filters, order, overflow, end."""

from typing import Any

import pytest

from blackhole.identity.v1 import identity_pb2 as pb
from reference.mesh.errors import ResourceExhaustedError, UnavailableError
from reference.services.identity.events import Subscribers


def _event(number: int, kind: Any = pb.EVENT_TYPE_CREATED) -> pb.DIDEvent:
    return pb.DIDEvent(did=f"did:key:{number}", type=kind)


async def test_each_subscriber_gets_what_it_asked_for_in_order() -> None:
    subscribers = Subscribers(most=2, capacity=10)
    with (
        subscribers.subscribed(()) as everything,
        subscribers.subscribed([pb.EVENT_TYPE_DELETED]) as deletions,
    ):
        for number, kind in enumerate((1, 3, 1)):
            subscribers.publish([_event(number, kind)])
        subscribers.drain()

        seen = [await _all(everything), await _all(deletions)]

    assert seen == [["did:key:0", "did:key:1", "did:key:2"], ["did:key:1"]]


async def _all(subscription: object) -> list[str]:
    found = []
    with pytest.raises(UnavailableError):
        async for event in subscription:  # type: ignore[attr-defined]
            found.append(event.did)  # noqa: PERF401 - what came before the error counts
    return found


async def test_one_that_does_not_read_sees_a_beginning_and_then_the_end() -> None:
    subscribers = Subscribers(most=1, capacity=2)
    seen = []

    with subscribers.subscribed(()) as slow:
        for number in range(4):
            subscribers.publish([_event(number)])
        with pytest.raises(ResourceExhaustedError, match="2 events wait"):
            async for event in slow:
                seen.append(event.did)  # noqa: PERF401 - what came before the error counts

    assert seen == ["did:key:0", "did:key:1"]


def test_one_more_than_allowed_is_refused_until_one_leaves() -> None:
    subscribers = Subscribers(most=1, capacity=1)

    with subscribers.subscribed(()) as first:
        assert repr(subscribers) == "Subscribers(1 of 1)"
        assert repr(first) == "Subscription(waiting=0, end=None)"
        with pytest.raises(ResourceExhaustedError), subscribers.subscribed(()):
            pass
    with subscribers.subscribed(()):
        pass


def test_nobody_can_subscribe_while_it_drains() -> None:
    subscribers = Subscribers(most=1, capacity=1)
    subscribers.drain()

    with pytest.raises(UnavailableError), subscribers.subscribed(()):
        pass
