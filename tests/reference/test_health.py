"""Health: one status, told at once and at each change."""

import asyncio

import pytest
from grpc_health.v1 import health_pb2

from reference.mesh.errors import UnavailableError
from reference.mesh.health import NOT_SERVING, SERVICE_UNKNOWN, SERVING, Health, HealthServicer


async def test_both_names_have_the_status_and_others_are_unknown() -> None:
    health = Health("identity")
    servicer = HealthServicer(health)

    said = [
        (await servicer.Check(health_pb2.HealthCheckRequest(service=name), None)).status
        for name in ("", "identity", "other")
    ]
    listed = await servicer.List(None, None)

    assert said == [SERVING, SERVING, SERVICE_UNKNOWN]
    assert {name: one.status for name, one in listed.statuses.items()} == {
        "": SERVING,
        "identity": SERVING,
    }


async def test_a_watch_tells_each_change_once_and_ends_with_the_drain() -> None:
    health = Health("identity")
    watch = aiter(health.watch("identity"))
    told = [await anext(watch)]

    for status in (SERVING, NOT_SERVING):
        health.set(status)
    told.append(await anext(watch))
    following = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert not following.done()
    health.set(SERVING)
    told.append(await following)
    health.drain()
    told.append(await anext(watch))

    assert told == [SERVING, NOT_SERVING, SERVING, NOT_SERVING]
    with pytest.raises(UnavailableError):
        await anext(watch)


async def test_while_draining_it_stays_not_serving() -> None:
    health = Health("identity")
    health.drain()

    health.set(SERVING)

    assert health.status("identity") == NOT_SERVING
    assert repr(health) == "Health(NOT_SERVING, draining=True)"


async def test_a_watch_of_an_unknown_name_waits() -> None:
    health = Health("identity")
    watch = aiter(health.watch("nobody"))

    assert await anext(watch) == SERVICE_UNKNOWN
    following = asyncio.ensure_future(anext(watch))
    health.set(NOT_SERVING)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not following.done()
    following.cancel()
