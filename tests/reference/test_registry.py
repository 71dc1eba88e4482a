"""The registry: what is in the list, and how it follows the directory."""

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from reference.config.client import Registration
from reference.mesh.registry import SLICE

from .mesh_place import (
    HEALTHY,
    UNHEALTHY,
    UNSPECIFIED,
    Checks,
    Place,
    eventually,
    names,
    running,
    settled,
    until,
)


async def test_the_list_holds_what_is_registered_and_what_is_found_in_order(place: Place) -> None:
    elsewhere = place.listen("x.sock").rename(place.root / "elsewhere")
    for file in ("b@1.10.0.sock", "b@1.9.0.sock", "b@1.10.0-rc.1.sock", "b.sock", "a-b.sock"):
        place.listen(file)
    settings = place.settings(
        Registration("b", "", None, "localhost:1"),
        Registration("a", "2.0.0", elsewhere, "localhost:2"),
        Registration("gone", "", place.root / "gone", ""),
        metadata={"b": {"zone": "eu"}},
    )

    async with running(settings, Checks(gone=False)) as registry:
        listed = await settled(registry)

    zone: dict[str, Any] = {"metadata": {"zone": "eu"}}
    gone: dict[str, Any] = {"socket_path": place.root / "gone", "state": UNHEALTHY, "pid": 0}
    assert listed == [
        place.endpoint(
            "a", "2.0.0", registered=True, socket_path=elsewhere, tcp_address="localhost:2"
        ),
        place.endpoint("a-b"),
        place.endpoint(
            "b", registered=True, socket_path=None, tcp_address="localhost:1", pid=0, **zone
        ),
        place.endpoint("b", **zone),
        place.endpoint("b", "1.9.0", **zone),
        place.endpoint("b", "1.10.0-rc.1", **zone),
        place.endpoint("b", "1.10.0", **zone),
        place.endpoint("gone", registered=True, **gone),
    ]
    assert [each.address for each in listed[:3]] == [
        f"unix://{elsewhere}",
        f"unix://{place.directory}/a-b.sock",
        "localhost:1",
    ]


async def test_the_list_is_filled_when_start_returns(place: Place) -> None:
    place.listen("a.sock")

    async with running(place.settings(), Checks()) as registry:
        assert registry.endpoints() == [place.endpoint("a", state=UNSPECIFIED)]
        assert registry.named("a") == registry.endpoints()
        assert registry.named("b") == []
        assert repr(registry) == (
            f"ServiceRegistry(endpoints=1, SocketDirectory('{place.directory}', watched),"
            " closed=False)"
        )


async def test_a_socket_that_is_registered_is_not_found_besides(place: Place) -> None:
    path = place.listen("a.sock")
    elsewhere = place.root / "b.sock"
    place.listen("b.sock").rename(elsewhere)
    place.listen("b.sock")
    settings = place.settings(
        Registration("a", "1.0.0", path, ""),
        Registration("b", "", elsewhere, ""),
        # It is this socket too; that the socket is called a is another matter.
        Registration("c", "", path, ""),
    )

    async with running(settings, Checks()) as registry:
        listed = registry.endpoints()

    assert [(each.name, each.version, each.registered) for each in listed] == [
        ("a", "1.0.0", True),
        ("b", "", True),
        ("b", "", False),
        ("c", "", True),
    ]


async def test_a_socket_is_found_under_its_own_name_though_registered_under_another(
    place: Place,
) -> None:
    settings = place.settings(Registration("b", "", place.listen("a.sock"), ""))

    async with running(settings, Checks()) as registry:
        listed = registry.endpoints()

    assert [(each.name, each.registered) for each in listed] == [("a", False), ("b", True)]


async def test_a_registered_path_may_be_a_link(place: Place) -> None:
    link = place.root / "link"
    link.symlink_to(place.listen("a.sock"))
    settings = place.settings(Registration("b", "", link, ""))
    async with running(settings, Checks()) as registry:
        await settled(registry)

        # What it leads to is replaced.
        place.publish("a.sock")
        await registry.rescan()

        assert [each.state for each in registry.named("b")] == [UNSPECIFIED]


@pytest.mark.parametrize("make", [Place.listen, Place.publish])
async def test_a_socket_that_comes_is_seen_and_one_that_goes_too(
    place: Place, make: Callable[[Place, str], Path]
) -> None:
    async with running(place.settings(), Checks()) as registry:
        assert registry.endpoints() == []

        path = make(place, "a.sock")
        await until(registry, lambda seen: seen == [place.endpoint("a")])
        path.unlink()
        await until(registry, lambda seen: seen == [])


async def test_a_replaced_socket_is_a_new_endpoint_and_never_missing(place: Place) -> None:
    place.listen("a.sock")
    checks = Checks()
    async with running(place.settings(), checks) as registry:
        await settled(registry)
        revision = registry.revision

        checks.open.clear()
        place.publish("a.sock")
        seen = await until(registry, lambda seen: seen[0].state is UNSPECIFIED)
        await eventually(lambda: checks.asked == ["a", "a"])
        checks.open.set()
        seen += await until(registry, lambda seen: seen[0].state is HEALTHY)

        assert registry.revision > revision
    assert [names(each) for each in seen] == [["a"]] * len(seen)


async def test_a_number_of_an_inode_that_is_used_again_deceives_nobody(place: Place) -> None:
    path = place.listen("a.sock")
    checks = Checks()
    async with running(place.settings(), checks) as registry:
        await settled(registry)

        os.utime(path, (1, 1))  # born at another time
        await registry.rescan()

        assert registry.endpoints()[0].state is UNSPECIFIED


async def test_what_happens_to_a_socket_beside_its_life_is_no_change(place: Place) -> None:
    path = place.listen("a.sock")
    async with running(place.settings(), Checks()) as registry:
        await settled(registry)
        revision = registry.revision

        path.chmod(0o600)
        path.rename(place.root / "aside").rename(path)
        await registry.rescan()

        assert registry.revision == revision


async def test_a_registered_socket_elsewhere_is_looked_at_by_the_interval(place: Place) -> None:
    path = place.root / "a.sock"
    settings = place.settings(Registration("a", "", path, ""), rescan_interval=0.01)
    checks = Checks(a=False)
    async with running(settings, checks) as registry:
        await until(registry, lambda seen: seen[0].state is UNHEALTHY)

        checks.answers.clear()
        place.listen("a.sock").rename(path)
        await until(registry, lambda seen: seen[0].state is HEALTHY)
        checks.answers["a"] = False
        path.unlink()
        await until(registry, lambda seen: seen[0].state is UNHEALTHY)


async def test_another_directory_at_the_path_is_the_one_that_counts(place: Place) -> None:
    place.listen("a.sock")
    async with running(place.settings(), Checks()) as registry:
        place.directory.rename(place.root / "away")
        place.directory.mkdir()
        await until(registry, lambda seen: names(seen) == [])

        # Seen although no interval ends: the new directory is watched.
        place.listen("b.sock")
        await until(registry, lambda seen: names(seen) == ["b"])


async def test_a_directory_that_goes_empties_the_list_until_it_is_back(place: Place) -> None:
    path = place.listen("a.sock")
    settings = place.settings(Registration("r", "", None, "localhost:1"), rescan_interval=0.01)
    async with running(settings, Checks()) as registry:
        await until(registry, lambda seen: names(seen) == ["a", "r"])

        with capture_logs() as logs:
            path.unlink()
            place.directory.rmdir()
            await until(registry, lambda seen: names(seen) == ["r"])
            await eventually(lambda: bool(logs))
        place.directory.mkdir()
        place.listen("b.sock")
        await until(registry, lambda seen: names(seen) == ["b", "r"])

    assert logs == [
        {
            "log_level": "warning",
            "event": "trouble with the socket directory",
            "error": f"{place.directory}: No such file or directory",
        }
    ]


async def test_a_directory_that_is_not_there_yet_is_waited_for(place: Place) -> None:
    place.directory.rmdir()
    async with running(place.settings(rescan_interval=0.01), Checks()) as registry:
        assert registry.endpoints() == []

        place.directory.mkdir()
        place.listen("a.sock")
        await until(registry, lambda seen: names(seen) == ["a"])


async def test_whatever_goes_wrong_in_a_look_the_next_one_is_made(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(place.settings(rescan_interval=0.01), Checks()) as registry:
        look = registry._directory.look
        monkeypatch.setattr(registry._directory, "look", None)
        with capture_logs() as logs:
            await eventually(lambda: bool(logs))
        monkeypatch.setattr(registry._directory, "look", look)

        place.listen("a.sock")
        await until(registry, lambda seen: names(seen) == ["a"])

    assert logs[0]["event"] == "looking for sockets failed"
    assert "TypeError" in logs[0]["error"]


async def test_a_change_just_after_a_look_is_seen_within_the_interval(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    clock = asyncio.get_running_loop().time
    async with running(place.settings(rescan_interval=0.1), Checks()) as registry:

        def look(_known: Any) -> Any:
            looks.append(clock())
            return {}

        monkeypatch.setattr(registry._directory, "look", look)
        await eventually(lambda: len(looks) >= 5)

    # The shortest: any may be late when both cores are busy, none is early.
    assert min(after - before for before, after in itertools.pairwise(looks)) < 0.1


async def test_a_reason_to_look_is_one_look(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    checks = Checks()
    async with running(place.settings(health_interval=0.001), checks) as registry:
        look = registry._directory.look

        def counted(known: Any) -> Any:
            looks.append(known)
            return look(known)

        monkeypatch.setattr(registry._directory, "look", counted)
        place.listen("a.sock")
        await eventually(lambda: len(checks.asked) >= 20)

    assert looks in ([[]], [[], [("a", "")]])


async def test_a_directory_that_is_never_at_rest_takes_half_of_the_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    clock = asyncio.get_running_loop().time
    async with running(place.settings(), Checks()) as registry:

        def look(_known: Any) -> Any:
            looks.append(clock())
            time.sleep(0.005)
            registry._disturbed.set()
            return {}

        monkeypatch.setattr(registry._directory, "look", look)
        registry._disturbed.set()
        await eventually(lambda: len(looks) >= 10)

    assert looks[9] - looks[0] >= 9 * 0.01


async def test_a_socket_that_a_listing_misses_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.listen("a.sock")
    async with running(place.settings(), Checks()) as registry:
        monkeypatch.setattr(registry._directory, "_listed", dict)

        await registry.rescan()

        assert names(registry.endpoints()) == ["a"]


async def test_others_have_their_turn_while_many_sockets_are_looked_at(place: Place) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    for number in range(100):
        place.listen(f"s{number}.sock")
    other = asyncio.create_task(take_turns())
    async with running(place.settings(), Checks()) as registry:
        assert turns >= 100 // SLICE
        assert len(registry.endpoints()) == 100
    other.cancel()


async def test_500_sockets_come_and_go_at_once(place: Place) -> None:
    away = place.root / "away"
    for number in range(500):
        place.listen(f"s{number}@1.{number}.0.sock")
    place.directory.rename(away)
    place.directory.mkdir()
    async with running(place.settings(), Checks()) as registry:
        spent = [time.thread_time()]
        for path in list(away.iterdir()):
            path.rename(place.directory / path.name)
        await until(registry, lambda seen: len(seen) == 500)
        spent.append(time.thread_time())
        assert {each.state for each in await settled(registry)} == {HEALTHY}

        spent.append(time.thread_time())
        for path in list(place.directory.iterdir()):
            path.unlink()
        await until(registry, lambda seen: not seen)
        spent.append(time.thread_time())

    # CPU time: others may use the cores meanwhile. Both take 0.05 s.
    assert spent[1] - spent[0] < 0.3
    assert spent[3] - spent[2] < 0.3
