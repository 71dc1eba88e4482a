"""What the registry tells: to followers, to who waits for a check, and until when."""

import asyncio
import time
from dataclasses import replace
from itertools import groupby

from reference.mesh.endpoints import ServiceEndpoint
from reference.mesh.registry import ServiceRegistry

from .mesh_place import (
    HEALTHY,
    SOON,
    UNHEALTHY,
    Checks,
    Place,
    eventually,
    names,
    running,
    settled,
    until,
)


async def test_every_follower_is_told_each_change_until_the_end(place: Place) -> None:
    told: list[list[list[str]]] = [[], [], []]

    async def follow(mine: list[list[str]]) -> None:
        async for endpoints in registry.changes():
            mine.append(names(endpoints))  # noqa: PERF401 - each as it comes

    async with running(place.settings(), Checks()) as registry:
        followers = [asyncio.create_task(follow(mine)) for mine in told]
        await eventually(lambda: all(mine[-1:] == [[]] for mine in told))
        place.listen("a.sock")
        await eventually(lambda: all(mine[-1] == ["a"] for mine in told))
        place.listen("b.sock")
        await eventually(lambda: all(mine[-1] == ["a", "b"] for mine in told))
        registry.release()
        async with asyncio.timeout(SOON):
            await asyncio.gather(*followers)
        place.listen("c.sock")
        await eventually(lambda: len(registry.endpoints()) == 3)

    # A state that changed is told too, with the names of before.
    assert [[each for each, _ in groupby(mine)] for mine in told] == [[[], ["a"], ["a", "b"]]] * 3
    assert [each async for each in registry.changes()] == []


async def test_a_check_that_changes_nothing_is_told_nobody(place: Place) -> None:
    place.listen("a.sock")
    checks = Checks()
    async with running(place.settings(health_interval=0.001), checks) as registry:
        before = (await settled(registry))[0]
        revision = registry.revision
        following = asyncio.ensure_future(anext(changes := registry.changes()))
        assert await following == [before]

        following = asyncio.ensure_future(anext(changes))
        await eventually(lambda: len(checks.asked) >= 10)

        now = registry.endpoints()[0]
        assert not following.done()
        assert (now, registry.revision) == (before, revision)
        assert now.last_check is not None
        assert before.last_check is not None
        assert before.last_check < now.last_check <= time.time()
        checks.answers["a"] = False
        assert (await following)[0].state is UNHEALTHY


async def test_the_first_check_can_be_waited_for(place: Place) -> None:
    place.listen("a.sock")
    checks = Checks()
    checks.open.clear()
    async with running(place.settings(), checks) as registry:
        given = registry.endpoints()[0]
        waiting = asyncio.create_task(registry.checked(given))
        await eventually(lambda: checks.running == 1)
        # The endpoint is replaced meanwhile; its successor is what counts.
        place.publish("a.sock")
        await eventually(lambda: checks.asked == ["a", "a"])
        assert not waiting.done()
        checks.open.set()

        assert await waiting == replace(given, state=HEALTHY)
        assert await registry.checked(given) == replace(given, state=HEALTHY)


async def test_who_waits_for_a_check_that_never_ends_is_let_go(place: Place) -> None:
    paths = [place.listen("a.sock"), place.listen("b.sock")]
    checks = Checks()
    checks.open.clear()
    async with running(place.settings(), checks) as registry:
        given = registry.endpoints()
        waiting = [asyncio.create_task(registry.checked(each)) for each in given]
        paths[0].unlink()
        assert await waiting[0] == given[0]
        assert not waiting[1].done()

        await registry.close()

        assert await waiting[1] == given[1]


async def test_who_is_gone_or_replaced_is_asked_no_more(place: Place) -> None:
    path = place.listen("a.sock")
    place.listen("b.sock")
    checks = Checks()
    async with running(place.settings(health_interval=0.01), checks) as registry:
        path.unlink()
        place.publish("b.sock")
        await until(registry, lambda seen: names(seen) == ["b"])
        await settled(registry)

        before = len(checks.asked)
        started = asyncio.get_running_loop().time()
        await eventually(lambda: len(checks.asked) - before == 10)

        assert set(checks.asked[before:]) == {"b"}
        assert asyncio.get_running_loop().time() - started >= 9 * 0.01


async def test_after_the_end_nothing_is_looked_at(place: Place) -> None:
    async with running(place.settings(), Checks()) as registry:
        await registry.close()
        place.listen("a.sock")

        await registry.rescan()

        assert registry.endpoints() == []
        assert registry._directory._inotify is None
    never_started = ServiceRegistry(place.settings(), Checks())
    await never_started.close()
    assert "closed=True" in repr(never_started)


async def test_close_waits_for_all_that_was_begun(place: Place) -> None:
    class Reluctant(Checks):
        """Takes its time to stop."""

        async def __call__(self, endpoint: ServiceEndpoint) -> bool:
            try:
                return await super().__call__(endpoint)
            finally:
                for _ in range(10):
                    await asyncio.sleep(0)
                self.answers["stopped"] = True

    place.listen("a.sock")
    checks = Reluctant()
    checks.open.clear()
    async with running(place.settings(), checks) as registry:
        await eventually(lambda: checks.running == 1)

        await registry.close()

        assert checks.answers == {"stopped": True}
