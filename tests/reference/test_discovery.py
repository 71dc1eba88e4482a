"""Discovery: from a name to an address, in the order of the document."""

import asyncio
import socket
from contextlib import closing

import pytest

from reference.config.client import Registration
from reference.mesh.discovery import ProcessDiscovery, Resolved
from reference.mesh.errors import (
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    Violation,
)

from .mesh_place import Checks, Connecting, Place, eventually, running, settled, until


def _at(place: Place, file: str, version: str = "") -> Resolved:
    return Resolved(f"unix://{place.directory}/{file}", version)


async def test_a_registered_socket_goes_before_its_tcp_and_before_all_that_is_found(
    place: Place,
) -> None:
    elsewhere = place.listen("x.sock").rename(place.root / "x")
    place.listen("a.sock")
    place.listen("b.sock")
    settings = place.settings(
        Registration("a", "1.2.3", elsewhere, "localhost:1"),
        Registration("b", "", None, "localhost:2"),
    )

    async with running(settings, Checks()) as registry:
        discovery = ProcessDiscovery(registry)
        assert await discovery.discover("a") == Resolved(f"unix://{elsewhere}", "1.2.3")
        assert await discovery.discover("b") == Resolved("localhost:2", "")
        assert "ServiceRegistry(endpoints=4" in repr(discovery)


async def test_a_registered_endpoint_is_checked_before_it_is_used(place: Place) -> None:
    settings = place.settings(
        Registration("a", "", None, "localhost:1"), Registration("b", "", None, "localhost:2")
    )
    checks = Checks(a=False)
    checks.open.clear()
    async with running(settings, checks) as registry:
        discovery = ProcessDiscovery(registry)
        asking = [asyncio.create_task(discovery.discover(name)) for name in "ab"]
        await eventually(lambda: checks.running == 2)
        assert not any(task.done() for task in asking)
        checks.open.set()

        with pytest.raises(UnavailableError) as refused:
            await asking[0]
        assert await asking[1] == Resolved("localhost:2", "")
    assert str(refused.value) == "service 'a' cannot be used: localhost:1: unhealthy"


async def test_what_is_found_serves_while_what_is_registered_is_unhealthy(place: Place) -> None:
    place.listen("a.sock")
    settings = place.settings(Registration("a", "", place.root / "gone", ""))
    async with running(settings, Connecting()) as registry:
        assert await ProcessDiscovery(registry).discover("a") == _at(place, "a.sock")


async def test_the_unversioned_socket_goes_before_the_highest_version(place: Place) -> None:
    plain = place.listen("a.sock")
    for version in ("1.9.0", "1.10.0", "2.0.0-rc.1"):
        place.listen(f"a@{version}.sock")
    async with running(place.settings(), Checks()) as registry:
        discovery = ProcessDiscovery(registry)
        assert await discovery.discover("a") == _at(place, "a.sock")

        plain.unlink()
        assert await discovery.discover("a") == _at(
            place, "a@2.0.0-rc.1.sock", version="2.0.0-rc.1"
        )


async def test_what_cannot_be_used_is_passed_over(place: Place) -> None:
    place.stale("a.sock")
    place.stale("a@3.0.0.sock")
    place.listen("a@2.0.0.sock")
    place.listen("a@1.0.0.sock")
    async with running(place.settings(), Checks()) as registry:
        assert await ProcessDiscovery(registry).discover("a") == _at(
            place, "a@2.0.0.sock", version="2.0.0"
        )


async def test_what_is_there_and_cannot_be_used_is_unavailable_and_says_why(place: Place) -> None:
    place.stale("stale.sock")
    place.listen("ill.sock")
    for patch in range(7):
        place.stale(f"many@1.0.{patch}.sock")
    checks = Checks(ill=False)
    checks.open.clear()
    async with running(place.settings(), checks) as registry:
        discovery = ProcessDiscovery(registry)
        at = f"unix://{place.directory}"
        with pytest.raises(UnavailableError) as stale:
            await discovery.discover("stale")
        with pytest.raises(UnavailableError) as many:
            await discovery.discover("many")
        assert await discovery.discover("ill") == _at(place, "ill.sock")
        checks.open.set()
        await settled(registry)
        with pytest.raises(UnavailableError) as ill:
            await discovery.discover("ill")

    assert str(stale.value) == (
        f"service 'stale' cannot be used: {at}/stale.sock: Connection refused"
    )
    assert str(ill.value) == f"service 'ill' cannot be used: {at}/ill.sock: unhealthy"
    assert str(many.value).startswith("service 'many' cannot be used: ")
    assert str(many.value).count("Connection refused") == 5
    assert str(many.value).endswith("; and 2 more")


async def test_a_socket_whose_backlog_is_full_is_used(place: Place) -> None:
    place.bind("a.sock").listen(0)
    with closing(socket.socket(socket.AF_UNIX)) as first:
        first.connect(str(place.directory / "a.sock"))
        async with running(place.settings(), Checks()) as registry:
            assert await ProcessDiscovery(registry).discover("a") == _at(place, "a.sock")


async def test_a_path_that_nobody_can_connect_to_is_unavailable(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = place.directory / ("x" * 100)
    deep.mkdir()
    monkeypatch.chdir(deep)
    with closing(socket.socket(socket.AF_UNIX)) as one:
        one.bind("a.sock")
        one.listen()
        async with running(place.settings(socket_dir=deep), Checks()) as registry:
            with pytest.raises(UnavailableError, match="AF_UNIX path too long"):
                await ProcessDiscovery(registry).discover("a")


async def test_a_socket_is_found_before_the_registry_was_told_of_it(place: Place) -> None:
    checks = Checks(a=False)
    async with running(place.settings(), checks) as registry:
        discovery = ProcessDiscovery(registry)

        # Nothing is awaited in between: the watch could not be read.
        place.listen("a.sock")
        assert await discovery.discover("a") == _at(place, "a.sock")
        place.listen("b@1.0.0.sock")
        assert await discovery.discover("b", "1.0.0") == _at(place, "b@1.0.0.sock", "1.0.0")

        # Nor does the health of its predecessor count against a successor.
        await settled(registry)
        with pytest.raises(UnavailableError):
            await discovery.discover("a")
        checks.answers.clear()
        place.publish("a.sock")
        assert await discovery.discover("a") == _at(place, "a.sock")


async def test_nothing_is_not_found(place: Place) -> None:
    place.listen("ab.sock")
    async with running(place.settings(), Checks()) as registry:
        with pytest.raises(NotFoundError, match=r"^there is no service 'a'$"):
            await ProcessDiscovery(registry).discover("a")


@pytest.mark.parametrize(
    ("wanted", "version"),
    [("1.1.0", "1.1.0"), ("1.0.0", "1.10.0"), ("1.10.0-rc.1", "1.10.0"), ("0.1.0", "0.1.5")],
)
async def test_a_version_is_served_by_itself_or_by_the_highest_compatible(
    place: Place, wanted: str, version: str
) -> None:
    for each in ("0.1.5", "0.2.0", "1.1.0", "1.10.0", "1.9.0", "2.0.0"):
        place.listen(f"a@{each}.sock")
    place.listen("a.sock")
    async with running(place.settings(), Checks()) as registry:
        assert await ProcessDiscovery(registry).discover("a", wanted) == _at(
            place, f"a@{version}.sock", version
        )


async def test_a_registered_version_goes_before_the_same_that_is_found(place: Place) -> None:
    place.listen("a@1.0.0.sock")
    settings = place.settings(Registration("a", "1.0.0", None, "localhost:1"))
    async with running(settings, checks := Checks()) as registry:
        discovery = ProcessDiscovery(registry)
        assert await discovery.discover("a", "1.0.0") == Resolved("localhost:1", "1.0.0")
        assert checks.asked


async def test_versions_that_cannot_be_used_are_not_there(place: Place) -> None:
    place.listen("a.sock")
    for version in ("1.0.0", "2.10.0", "2.9.0"):
        place.listen(f"a@{version}.sock")
    for version in ("1.1.0", "2.11.0"):
        place.stale(f"a@{version}.sock")
    place.stale("b@1.0.0.sock")
    async with running(place.settings(), Checks()) as registry:
        discovery = ProcessDiscovery(registry)
        assert await discovery.discover("a", "1.0.0") == _at(place, "a@1.0.0.sock", "1.0.0")
        assert await discovery.discover("a", "2.0.0") == _at(place, "a@2.10.0.sock", "2.10.0")
        with pytest.raises(NotFoundError) as newer:
            await discovery.discover("a", "1.1.0")
        with pytest.raises(NotFoundError) as none:
            await discovery.discover("b", "1.0.0")

    assert str(newer.value) == (
        "service 'a' has no version that serves 1.1.0: there are 1.0.0, 2.9.0, 2.10.0"
    )
    assert str(none.value) == "service 'b' has no version that serves 1.0.0: there are none"


@pytest.mark.parametrize(
    "name",
    ["", "../x", "a/b", "a\0", "a@1.0.0", ".a", "-a", "a b", "é", "a\n", "x" * 64, "x" * 9999],
)
async def test_a_malformed_name_is_refused_and_nothing_looked_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with running(place.settings(), Checks()) as registry:
        monkeypatch.setattr(registry, "named", None)
        with pytest.raises(InvalidArgumentError) as refused:
            await ProcessDiscovery(registry).discover(name)

    assert refused.value.violations == (Violation("service", f"{name[:80]!r} is no service name"),)


async def test_a_malformed_version_is_refused_by_name(place: Place) -> None:
    place.listen("a.sock")
    async with running(place.settings(), Checks()) as registry:
        with pytest.raises(InvalidArgumentError) as refused:
            await ProcessDiscovery(registry).discover("a", "latest")

    assert refused.value.violations == (Violation("version", "'latest' is no semantic version"),)


async def test_the_longest_name_is_found(place: Place) -> None:
    name = "x" * 63
    place.listen(f"{name}.sock")
    async with running(place.settings(), Checks()) as registry:
        assert await ProcessDiscovery(registry).discover(name) == _at(place, f"{name}.sock")


async def test_the_revision_changes_with_every_answer(place: Place) -> None:
    place.listen("a.sock")
    async with running(place.settings(), Checks()) as registry:
        await settled(registry)
        discovery = ProcessDiscovery(registry)
        revision = discovery.revision
        assert await discovery.discover("a") == _at(place, "a.sock")
        assert discovery.revision == revision

        place.listen("a@1.0.0.sock")
        await until(registry, lambda seen: len(seen) == 2)

        await eventually(lambda: discovery.revision != revision)
