"""Health of endpoints: who is asked when, and what the answers make of it."""

import asyncio
from itertools import product

import pytest
from structlog.testing import capture_logs

from reference.config.client import Registration
from reference.mesh import monitor
from reference.mesh.endpoints import EndpointState, judge

from .mesh_place import (
    HEALTHY,
    HERE,
    NEVER,
    UNHEALTHY,
    UNSPECIFIED,
    Checks,
    Connecting,
    Place,
    eventually,
    running,
    settled,
    until,
)


@pytest.mark.parametrize(
    ("state", "passed", "failures"), [*product(EndpointState, [True, False], range(3))]
)
def test_every_step_of_the_rule(state: EndpointState, *, passed: bool, failures: int) -> None:
    outcome = judge(state, failures, passed=passed, threshold=3)

    if passed:
        assert outcome == (HEALTHY, 0)
    elif state is UNSPECIFIED or failures == 2:
        assert outcome == (UNHEALTHY, failures + 1)
    else:
        assert outcome == (state, failures + 1)


async def test_the_first_check_decides_and_later_ones_in_a_row(place: Place) -> None:
    place.listen("a.sock")
    place.listen("b.sock")
    checks = Checks(a=False)
    settings = place.settings(failure_threshold=3, health_interval=0.01)
    async with running(settings, checks) as registry:
        assert [each.state for each in await settled(registry)] == [UNHEALTHY, HEALTHY]
        del checks.answers["a"]
        await until(registry, lambda seen: [each.state for each in seen] == [HEALTHY, HEALTHY])

        before = checks.asked.count("b")
        checks.answers["b"] = False
        await until(registry, lambda seen: [each.state for each in seen] == [HEALTHY, UNHEALTHY])

    # One may have been on its way when the answer changed.
    assert checks.asked.count("b") - before in (3, 4)


async def test_the_interval_is_from_check_to_check(place: Place) -> None:
    place.listen("a.sock")
    checks = Checks()
    clock = asyncio.get_running_loop().time

    async with running(place.settings(health_interval=0.05), checks):
        before = clock()
        await eventually(lambda: len(checks.asked) == 5)
        elapsed = clock() - before

    assert elapsed >= 3 * 0.05


async def test_a_check_that_takes_too_long_is_failed(place: Place) -> None:
    place.listen("a.sock")
    checks = Checks()
    checks.open.clear()

    async with running(place.settings(health_timeout=0.01), checks) as registry:
        assert (await settled(registry))[0].state is UNHEALTHY

        assert checks.running == 0


async def test_a_check_that_breaks_is_failed_and_told(place: Place) -> None:
    place.listen("a.sock")
    place.listen("b.sock")

    with capture_logs() as logs:
        async with running(place.settings(), Checks(a=ValueError("odd"))) as registry:
            states = [each.state for each in await settled(registry)]

    assert states == [UNHEALTHY, HEALTHY]
    assert logs == [
        {"log_level": "warning", "event": "a health check broke", "error": "ValueError('odd')"}
    ]


async def test_16_checks_run_at_once_and_no_more(place: Place) -> None:
    for number in range(40):
        place.listen(f"s{number}.sock")
    checks = Checks()
    checks.open.clear()

    async with running(place.settings(), checks) as registry:
        await eventually(lambda: checks.running == 16)
        checks.open.set()
        listed = await settled(registry)

    assert {each.state for each in listed} == {HEALTHY}
    assert sorted(checks.asked) == sorted(each.name for each in listed)
    assert checks.most == 16


async def test_even_without_a_pause_others_have_their_turn(place: Place) -> None:
    place.listen("a.sock")
    place.stale("b.sock")
    checks = Checks()

    async with running(place.settings(health_interval=1e-9, rescan_interval=1e-9), checks):
        await eventually(lambda: min(map(checks.asked.count, "ab")) > 10)


async def test_between_bind_and_listen_nobody_is_judged(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "LISTEN_GRACE", NEVER)
    checks = Connecting()
    async with running(place.settings(), checks) as registry:
        bound = place.bind("a.sock")
        place.stale("stale.sock")
        await until(registry, lambda seen: bool(seen) and seen[-1].state is UNHEALTHY)
        assert registry.named("a") == [place.endpoint("a", state=UNSPECIFIED, pid=0)]

        bound.listen()

        seen = await until(registry, lambda seen: seen[0].state is HEALTHY)
    assert seen[-1][0] == place.endpoint("a")
    assert UNHEALTHY not in [each[0].state for each in seen]
    assert checks.asked == ["stale", "a"]


async def test_who_listens_late_is_asked_again_before_the_interval_ends(place: Place) -> None:
    bound = place.bind("a.sock")
    async with running(place.settings(rescan_interval=0.01), Connecting()) as registry:
        assert await settled(registry) == [place.endpoint("a", state=UNHEALTHY, pid=0)]

        bound.listen()

        await until(registry, lambda seen: seen == [place.endpoint("a")])


async def test_who_listens_late_is_known_even_if_unhealthy(place: Place) -> None:
    bound = place.bind("a.sock")
    async with running(place.settings(rescan_interval=0.01), Checks(a=False)) as registry:
        assert await settled(registry) == [place.endpoint("a", state=UNHEALTHY, pid=0)]

        bound.listen()

        await until(registry, lambda seen: seen == [place.endpoint("a", state=UNHEALTHY)])


async def test_who_died_loses_the_process(place: Place) -> None:
    listening = place.bind("a.sock")
    listening.listen()
    settings = place.settings(
        Registration("tcp", "", None, "localhost:1"), health_interval=0.01, failure_threshold=1000
    )
    async with running(settings, checks := Checks()) as registry:
        assert [each.pid for each in await settled(registry)] == [HERE, 0]

        checks.answers.update(a=False, tcp=False)
        listening.close()

        await until(registry, lambda seen: [each.pid for each in seen] == [0, 0])
        assert [each.state for each in registry.endpoints()] == [HEALTHY, HEALTHY]
