"""Many calls at once: calls a second by how many, over each transport, and under native load."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from blackhole.events.v1 import events_pb2
from blackhole.identity.v1 import identity_pb2
from conformance.harness import events as events_words
from conformance.harness import identity as identity_words

from . import floors as floor
from .arms import BARE, BOUND, IMPLEMENTATION, UNIX, Floors, bases, dial_async
from .asking import AsyncArms, Case, Question
from .native import Load, h2load
from .served import Served

ARMS = (*IMPLEMENTATION, *BARE)

CALLS = 192
"""Of a burst: enough for 64 callers to be busy for most of it."""

CALLERS = (1, 8, 64)

PAYLOAD = bytes(64)

Caller = Callable[[], Awaitable[object]]


@pytest.mark.parametrize("callers", CALLERS)
@pytest.mark.parametrize("arm", ARMS)
async def test_concurrency(
    callers: int, arm: str, events: Served, floors: Floors, question: Question
) -> None:
    """EventStream/Publish of 64 bytes by callers on one connection, each after its last answer."""
    events.has(arm)
    case = Case("calls at once", f"{callers} callers", bytes=CALLS * len(PAYLOAD), calls=CALLS)
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(dial_async(address))
            for name, address in ({**events.addresses, **floors.all_bare}).items()
        }

        def arms() -> AsyncArms:
            return {
                name: burst(bare_caller(channel) if name in BARE else publisher(channel), callers)
                for name, channel in channels.items()
            }

        await question.tell_async(case, arms, arm, *bases(arm))


@pytest.mark.parametrize("callers", CALLERS)
@pytest.mark.parametrize("arm", IMPLEMENTATION)
async def test_creates(callers: int, arm: str, identity: Served, question: Question) -> None:
    """IdentityService/CreateDID: durable before it is answered, and commits may be shared."""
    identity.has(arm)
    case = Case("creates", f"{callers} callers", calls=CALLS, unit="creates")
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(dial_async(address))
            for name, address in identity.addresses.items()
        }

        def arms() -> AsyncArms:
            return {name: burst(creator(channel), callers) for name, channel in channels.items()}

        await question.tell_async(case, arms, arm, *bases(arm))


@pytest.mark.parametrize("callers", CALLERS)
@pytest.mark.parametrize("arm", [UNIX, "bare-unix"])
async def test_native_load(
    callers: int,
    arm: str,
    events: Served,
    floors: Floors,
    question: Question,
) -> None:
    """The same by a load generator that is no Python, which cannot do mutual TLS."""
    program = h2load()
    event = events_pb2.Event(id="benchmark", type="benchmark.load", payload=PAYLOAD)
    answer = events_pb2.PublishResponse(success=True, event_id="benchmark").ByteSize()
    loads = {
        UNIX: Load(
            program,
            events.service.path,
            f"/{events_words.SERVICE}/Publish",
            event.SerializeToString(),
            answer,
        ),
        "bare-unix": Load(program, floors.bare_socket, floor.UNARY, PAYLOAD, len(floor.DONE)),
    }
    case = Case("native load", f"{callers} callers", calls=Load.CALLS)

    def arms() -> AsyncArms:
        return {name: load.burst(floors.directory, callers) for name, load in loads.items()}

    await question.tell_async(case, arms, arm, *bases(arm))


def burst(call: Caller, callers: int) -> Callable[[], Awaitable[None]]:
    """Return what makes CALLS calls, so many at once."""

    async def caller() -> None:
        for _ in range(CALLS // callers):
            await call()

    async def all_of_them() -> None:
        await asyncio.gather(*(caller() for _ in range(callers)))

    return all_of_them


def publisher(channel: grpc.aio.Channel) -> Caller:
    """Return what publishes an event, and checks the answer."""
    event = events_pb2.Event(id="benchmark", type="benchmark.calls", payload=PAYLOAD)
    expected = events_pb2.PublishResponse(success=True, event_id="benchmark")
    publish: Any = channel.unary_unary(
        f"/{events_words.SERVICE}/Publish",
        request_serializer=events_pb2.Event.SerializeToString,
        response_deserializer=events_pb2.PublishResponse.FromString,
    )

    async def call() -> None:
        assert await publish(event, timeout=BOUND) == expected

    return call


def creator(channel: grpc.aio.Channel) -> Caller:
    """Return what creates a DID, and checks the answer."""
    create: Any = channel.unary_unary(
        f"/{identity_words.SERVICE}/CreateDID",
        request_serializer=identity_pb2.CreateDIDRequest.SerializeToString,
        response_deserializer=identity_pb2.CreateDIDResponse.FromString,
    )
    request = identity_pb2.CreateDIDRequest(method="key")

    async def call() -> None:
        assert (await create(request, timeout=BOUND)).did.startswith("did:key:")

    return call


def bare_caller(channel: grpc.aio.Channel) -> Caller:
    """Return what calls a bare server."""
    unary: Any = channel.unary_unary(floor.UNARY)

    async def call() -> None:
        assert await unary(PAYLOAD, timeout=BOUND) == floor.DONE

    return call
