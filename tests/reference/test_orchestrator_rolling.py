"""Rolling updates with real processes: the new version, the old one, and who is left."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reference.mesh.errors import AbortedError, FailedPreconditionError
from reference.orchestrator.checks import Answer
from reference.orchestrator.lifecycle import State
from reference.orchestrator.rolling import refuse
from reference.orchestrator.supervisor import Supervisor
from reference.orchestrator.unit import Successor

from .mesh_place import eventually
from .orchestrated import Orchestra, alive, come_to, kill, orchestra

RUNNING, BACKING_OFF = State.RUNNING, State.BACKING_OFF


async def test_the_new_one_serves_before_the_old_one_goes() -> None:
    with orchestra(a={"version": "1.0.0"}) as node:
        node.tell("a@1.0.0", "deaf")
        node.settings["grace_period"] = "0.1s"
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            updating = asyncio.create_task(supervisor.update("a", "2.0.0", ()))
            await eventually(lambda: supervisor.unit("a").seen.place.version == "2.0.0")
            old, new = node.started("a@1.0.0"), node.started("a@2.0.0")
            assert [alive(pid) for pid in old + new] == [True, True]
            assert node.socket("a@1.0.0").exists()

            unit = await updating

            seen = unit.seen
            assert (seen.state, seen.pid, seen.answer) == (RUNNING, new[0], Answer.SERVING)
            assert (seen.successor, seen.detail, seen.restarts) == (None, "", 0)
            assert seen.place.path == node.socket("a@2.0.0")
            assert not alive(old[0])
            assert not node.socket("a@1.0.0").exists()


async def test_both_are_told_of_while_the_new_one_starts() -> None:
    with orchestra(a=[]) as node:
        node.tell("a@2.0.0", "refuses")
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            updating = asyncio.create_task(supervisor.update("a", "2.0.0", ()))
            successor = await _refusing(supervisor)

            assert [successor.pid] == node.started("a@2.0.0")
            assert successor.place.path == node.socket("a@2.0.0")
            assert [supervisor.unit("a").seen.pid] == node.started("a")
            node.tell("a@2.0.0")
            await updating


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("exits", "its process ended with status 3"),
        ("nowhere", "not SERVING within 1 s"),
        ("refuses", "not SERVING within 1 s"),
    ],
)
async def test_one_that_does_not_come_to_serve_leaves_nothing(how: str, why: str) -> None:
    with orchestra(a=[]) as node:
        node.tell("a@2.0.0", how, "strays", "deaf")
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            unit = supervisor.unit("a")
            # The old one had all the time that it needed.
            unit.settings = replace(unit.settings, start_timeout=1.0)

            with pytest.raises(AbortedError) as refused:
                await supervisor.update("a", "2.0.0", ())

            assert str(refused.value) == f"2.0.0 was rolled back: {why}"
            seen = supervisor.unit("a").seen
            assert (seen.state, seen.place.version, seen.successor) == (RUNNING, "", None)
            assert [seen.pid] == node.started("a")
            assert alive(seen.pid)
            assert not any(alive(pid) for pid in node.started("a@2.0.0"))
            assert not node.socket("a@2.0.0").exists()


async def test_the_new_one_is_watched_and_restarted_in_its_version() -> None:
    with orchestra(a=[]) as node:
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            await supervisor.update("a", "2.0.0", ())

            kill(supervisor.unit("a").seen.pid)
            await come_to(supervisor, BACKING_OFF, "a")
            await come_to(supervisor, RUNNING, "a")
            assert len(node.started("a@2.0.0")) == 2
            node.tell("a@2.0.0", "refuses")
            await come_to(supervisor, BACKING_OFF, "a")
            node.tell("a@2.0.0")
            await come_to(supervisor, RUNNING, "a")

            await supervisor.restart("a")
            assert supervisor.unit("a").seen.place.version == "2.0.0"
            assert len(node.started("a")) == 1


async def test_another_command_is_the_services_from_then_on() -> None:
    with orchestra(a=[], b=[]) as node:
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            command = tuple(node.settings["services"]["a"]["command"])
            other = (command[0], "-X", "dev", *command[1:])

            await supervisor.update("a", "2.0.0", other)
            assert b"dev" in _words(supervisor.unit("a").seen.pid)
            await supervisor.restart("a")

            assert b"dev" in _words(supervisor.unit("a").seen.pid)


async def test_a_command_that_cannot_be_started_is_rolled_back() -> None:
    with orchestra(a=[]) as node:
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")

            with pytest.raises(AbortedError, match=r"was not started: /nowhere: cannot be exec"):
                await supervisor.update("a", "2.0.0", ("/nowhere",))

            assert supervisor.unit("a").state is RUNNING


def _dies(node: Orchestra, _supervisor: Supervisor) -> None:
    kill(node.started("a")[0])


def _refuses(node: Orchestra, _supervisor: Supervisor) -> None:
    node.tell("a", "refuses")


@pytest.mark.parametrize("goes", [_dies, _refuses])
async def test_an_old_one_that_goes_meanwhile_is_replaced_by_its_own(
    goes: Callable[[Orchestra, Supervisor], None],
) -> None:
    """The new version is no substitute: it was not found to serve yet."""
    with orchestra(a=[]) as node:
        node.tell("a@2.0.0", "refuses")
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            updating = asyncio.create_task(supervisor.update("a", "2.0.0", ()))
            await _refusing(supervisor)

            goes(node, supervisor)
            with pytest.raises(AbortedError, match=r"rolled back: the old one is"):
                await updating
            node.tell("a")
            await come_to(supervisor, RUNNING, "a")

            assert supervisor.unit("a").seen.place.version == ""
            assert not any(alive(pid) for pid in node.started("a@2.0.0"))


async def test_a_node_that_stops_ends_an_update() -> None:
    with orchestra(a=[]) as node:
        node.tell("a@2.0.0", "refuses")
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            updating = asyncio.create_task(supervisor.update("a", "2.0.0", ()))
            await _refusing(supervisor)
        with pytest.raises(AbortedError, match="rolled back"):
            await updating


async def test_an_update_whose_caller_leaves_goes_on() -> None:
    with orchestra(a=[]) as node:
        node.tell("a@2.0.0", "refuses")
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            updating = asyncio.create_task(supervisor.update("a", "2.0.0", ()))
            await _refusing(supervisor)

            updating.cancel()
            node.tell("a@2.0.0")
            await eventually(lambda: supervisor.unit("a").seen.place.version == "2.0.0")
            await eventually(lambda: not alive(node.started("a")[0]))


TCP = {"tcp": {"port": 7}}

REFUSED = {
    "another state": ({}, State.STARTING, "2.0.0", "a is not running"),
    "the same version": ({"version": "1.0.0"}, RUNNING, "1.0.0", "a runs in version 1.0.0 already"),
    "a port": (TCP, RUNNING, "2.0.0", "a listens at a port"),
    "one socket": ({"unix_socket": "/s/a.sock"}, RUNNING, "2.0.0", "services.a.unix_socket gives"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_updated_is_refused(case: str) -> None:
    entry, state, version, why = REFUSED[case]
    with orchestra(a=entry) as node:
        node.settings["tls"] = {"cert_file": "c", "key_file": "k", "ca_file": "a"}
        (unit,) = node.units()
        unit.note(state=state)

        with pytest.raises(FailedPreconditionError) as refused:
            refuse(unit, version)

        assert str(refused.value).startswith(why)


async def _refusing(supervisor: Supervisor) -> Successor:
    """Wait until the new version was asked, and says that it does not serve; return it."""
    unit = supervisor.unit("a")

    def refuses() -> bool:
        successor = unit.seen.successor
        return successor is not None and successor.answer is Answer.OTHER

    await eventually(refuses)
    assert unit.seen.successor is not None
    return unit.seen.successor


def _words(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
