"""The Supervisor with real processes: order, healing, giving up, and stopping."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from reference.mesh.errors import (
    AbortedError,
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from reference.orchestrator import supervisor as supervisor_module
from reference.orchestrator.checks import Answer
from reference.orchestrator.lifecycle import State
from reference.orchestrator.supervisor import Supervisor

from .mesh_place import eventually
from .orchestrated import QUICK, alive, come_to, kill, orchestra

WAITING, STARTING, RUNNING, UNHEALTHY, BACKING_OFF, STOPPING, STOPPED, FAILED = State


async def test_each_starts_after_those_that_it_depends_on_and_stops_before_them() -> None:
    with orchestra(a=["b", "c"], b=["d"], c=[], d=[]) as node:
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a", "b", "c", "d")
            assert supervisor.settled

        starts = [name for name, _ in node.noted("starts")]
        stops = [name for name, _ in node.noted("stops")]
        assert sorted(starts) == sorted(stops) == ["a", "b", "c", "d"]
        assert starts[-1] == "a"
        assert starts.index("d") < starts.index("b")
        assert stops[0] == "a"
        assert stops.index("b") < stops.index("d")


async def test_the_process_that_is_told_is_the_one_that_listens() -> None:
    with orchestra(a=[], b=[]) as node:
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a", "b")

            for unit in supervisor.units:
                (pid,) = node.started(unit.service.name)
                assert unit.seen.pid == pid
                assert os.getpgid(pid) == os.getsid(pid) == pid
                assert unit.seen.answer is Answer.SERVING
                assert unit.last_check is not None


async def test_a_process_that_dies_is_replaced_and_the_others_stay() -> None:
    with orchestra(a=["b"], b=[]) as node:
        # No check finds it before the kernel tells.
        node.settings["health"] = {"interval": "60s"}
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a", "b")
            (first,) = node.started("b")

            kill(first)
            await come_to(supervisor, BACKING_OFF, "b")
            told = supervisor.unit("b").seen
            assert (told.pid, told.answer) == (0, None)
            assert told.detail == "its process ended by SIGKILL"
            await come_to(supervisor, RUNNING, "b")

            assert supervisor.unit("b").seen.pid == node.started("b")[-1] != first
            assert supervisor.unit("b").seen.restarts == 1
            assert len(node.started("a")) == 1


async def test_a_process_that_hangs_is_killed_and_replaced() -> None:
    with orchestra(a=[]) as node:
        node.settings["health"] = {"interval": "0.05s", "timeout": "0.3s"}
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            (first,) = node.started("a")

            kill(first, signal.SIGSTOP)
            await come_to(supervisor, BACKING_OFF, "a")
            assert supervisor.unit("a").seen.detail == "it does not answer"
            await come_to(supervisor, RUNNING, "a")

            assert not alive(first)
            assert node.noted("stops") == []


async def test_a_process_that_says_that_it_does_not_serve_is_asked_to_end() -> None:
    with orchestra(a=[]) as node:
        node.settings["health"] = {"interval": "0.05s", "failure_threshold": 2}
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            first = node.started("a")

            node.tell("a", "refuses")
            await come_to(supervisor, BACKING_OFF, "a")
            assert supervisor.unit("a").seen.detail == "it says that it does not serve"
            assert [pid for _, pid in node.noted("stops")] == first
            node.tell("a")
            await come_to(supervisor, RUNNING, "a")


async def test_fewer_failures_than_the_threshold_harm_nobody() -> None:
    with orchestra(a=[]) as node:
        node.settings["health"] = {"interval": "0.05s", "failure_threshold": 1000}
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            node.tell("a", "refuses")
            await eventually(lambda: supervisor.unit("a").seen.answer is Answer.OTHER)
            node.tell("a")
            await eventually(lambda: supervisor.unit("a").seen.answer is Answer.SERVING)

            assert supervisor.unit("a").state is RUNNING
            assert len(node.started("a")) == 1


async def test_one_that_ends_at_once_is_given_up_after_so_many_restarts() -> None:
    with orchestra(a=["b"], b=[]) as node, capture_logs() as log:
        node.tell("b", "exits")
        async with node.playing() as supervisor:
            await come_to(supervisor, FAILED, "b")

            assert len(node.started("b")) == 1 + QUICK["orchestrator"]["max_restarts"]
            assert supervisor.unit("b").seen.detail == "its process ended with status 3"
            assert supervisor.unit("a").state is WAITING
            assert supervisor.unit("a").seen.detail == "waits for b"
        errors = [line["event"] for line in log if line["log_level"] == "error"]
        assert errors == ["b: FAILED: its process ended with status 3"]
        assert node.started("a") == []


@pytest.mark.parametrize("how", ["nowhere", "refuses", "hangs"])
async def test_one_that_never_serves_is_given_up_after_the_time(how: str) -> None:
    with orchestra(a=[], b=[]) as node, capture_logs() as log:
        node.settings["orchestrator"] = QUICK["orchestrator"] | {"start_timeout": "3s"}
        node.tell("b", how)
        async with node.playing() as supervisor:
            await come_to(supervisor, FAILED, "b")

            assert not any(alive(pid) for pid in node.started("b"))
            assert len(node.started("b")) == 1
            assert supervisor.unit("b").seen.detail == "not SERVING within 3 s"
            await come_to(supervisor, RUNNING, "a")
        errors = [line["event"] for line in log if line["log_level"] == "error"]
        assert errors == ["b: FAILED: not SERVING within 3 s"]


async def test_restarts_are_counted_anew_after_a_run_that_was_long_enough() -> None:
    with orchestra(a=[]) as node:
        node.settings["orchestrator"] = QUICK["orchestrator"] | {"restart_reset": "0.001s"}
        async with node.playing() as supervisor:
            for _ in range(2 + QUICK["orchestrator"]["max_restarts"]):
                await come_to(supervisor, RUNNING, "a")
                await eventually(lambda: supervisor.unit("a").seen.restarts == 0)
                kill(node.started("a")[-1])
                await come_to(supervisor, BACKING_OFF, "a")
            await come_to(supervisor, RUNNING, "a")


async def test_a_command_that_is_gone_is_a_process_that_has_ended(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    program.chmod(0o700)
    with orchestra(a={"command": [str(program)]}) as node:
        async with node.playing() as supervisor:
            pid = await _pid_of_child(supervisor, "a")
            program.unlink()
            kill(pid)
            await come_to(supervisor, FAILED, "a")

            assert supervisor.unit("a").seen.detail == f"{program}: cannot be executed"
            with pytest.raises(AbortedError, match="a does not run"):
                await supervisor.restart("a")


async def test_strays_are_gone_before_another_takes_their_place() -> None:
    with orchestra(a=[]) as node:
        node.tell("a", "strays")
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            ((_, stray),) = node.noted("strays")
            assert alive(stray)

            kill(node.started("a")[0])
            await come_to(supervisor, BACKING_OFF, "a")
            await come_to(supervisor, RUNNING, "a")

            assert not alive(stray)
            assert len(node.noted("strays")) == 2


async def test_a_deaf_one_is_killed_after_the_grace_period() -> None:
    with orchestra(a=[]) as node:
        node.settings["grace_period"] = "0.1s"
        node.tell("a", "deaf")
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")

            await supervisor.halt("a")

            assert supervisor.unit("a").state is STOPPED
            assert supervisor.unit("a").seen.detail == "its process ended by SIGKILL"
            assert node.noted("stops") == []


async def test_a_node_stops_while_it_starts() -> None:
    with orchestra(a=["b"], b=[]) as node:
        node.tell("b", "nowhere")
        async with node.playing() as supervisor:
            await eventually(lambda: node.started("b") != [])

        assert [unit.state for unit in supervisor.units] == [STOPPED, STOPPED]
        assert node.started("a") == []


async def test_a_stopped_one_stays_so_until_it_is_restarted_and_others_run_on() -> None:
    with orchestra(a=["b"], b=[]) as node:
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a", "b")

            await supervisor.halt("b")
            assert (await supervisor.halt("b")).state is STOPPED
            assert not node.socket("b").exists()
            assert supervisor.unit("a").state is RUNNING
            await supervisor.restart("b")

            assert supervisor.unit("b").state is RUNNING
            assert len(node.started("b")) == 2
            assert len(node.started("a")) == 1


async def test_a_failed_one_is_started_anew() -> None:
    with orchestra(a=["b"], b=[]) as node:
        node.tell("b", "exits")
        async with node.playing() as supervisor:
            await come_to(supervisor, FAILED, "b")
            node.tell("b")

            unit = await supervisor.restart("b")

            assert (unit.state, unit.seen.restarts, unit.seen.detail) == (RUNNING, 0, "")
            await come_to(supervisor, RUNNING, "a")


async def test_a_restart_waits_until_the_process_is_gone() -> None:
    """It was given up, and takes its time to end."""
    with orchestra(a=[]) as node:
        node.settings["grace_period"] = "0.2s"
        node.settings["orchestrator"] = QUICK["orchestrator"] | {"start_timeout": "1s"}
        node.tell("a", "refuses", "deaf")
        async with node.playing() as supervisor:
            await come_to(supervisor, UNHEALTHY, "a")
            (first,) = node.started("a")
            assert alive(first)
            node.tell("a")
            await supervisor.restart("a")

            assert not alive(first)
            assert len(node.started("a")) == 2


async def test_one_change_at_a_time() -> None:
    with orchestra(a=[], b=[]) as node:
        node.tell("a", "deaf")
        node.settings["grace_period"] = "0.5s"
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a", "b")
            halting = asyncio.create_task(supervisor.halt("a"))
            await come_to(supervisor, STOPPING, "a")

            for change in (
                supervisor.restart("a"),
                supervisor.halt("a"),
                supervisor.update("a", "1.0.0", ()),
            ):
                with pytest.raises(FailedPreconditionError, match="a is being changed"):
                    await change
            with pytest.raises(NotFoundError, match="there is no service 'c'"):
                await supervisor.halt("c")
            await supervisor.restart("b")
            await halting


async def test_what_was_begun_is_carried_through_when_its_caller_leaves() -> None:
    with orchestra(a=[]) as node:
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            restarting = asyncio.create_task(supervisor.restart("a"))
            await come_to(supervisor, STOPPING, "a")

            restarting.cancel()
            await come_to(supervisor, RUNNING, "a")

            assert len(node.started("a")) == 2
            await eventually(lambda: not supervisor.unit("a").busy)


async def test_a_restart_ends_with_the_node() -> None:
    with orchestra(a=[]) as node:
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")
            restarting = asyncio.create_task(supervisor.restart("a"))
            await come_to(supervisor, STOPPING, "a")

        with pytest.raises(FailedPreconditionError, match="the node is stopping"):
            await restarting
        with pytest.raises(FailedPreconditionError, match="the node is stopping"):
            await supervisor.restart("a")
        assert len(node.started("a")) == 1


async def test_every_change_is_told_in_order_as_it_was() -> None:
    with orchestra(a=[]) as node:
        async with node.playing() as supervisor:
            told = _follow(supervisor)
            await come_to(supervisor, RUNNING, "a")
            await supervisor.restart("a")
        states = await told

        whole = [STARTING, RUNNING, STOPPING, STOPPED, WAITING, STARTING, RUNNING]
        assert states == whole


async def test_one_who_does_not_read_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "UNREAD", 2)
    with orchestra(a=[]) as node:
        async with node.playing() as supervisor:
            following = supervisor.follow()
            await anext(following)
            await come_to(supervisor, RUNNING, "a")

            with pytest.raises(ResourceExhaustedError, match="not read"):
                for _ in range(4):
                    await anext(following)


async def test_limits_hold_in_the_process() -> None:
    limits = {"open_files": 77, "address_space_bytes": str(3 << 30), "cpu_time": "99s"}
    with orchestra(a={"limits": limits}) as node:
        async with node.playing() as supervisor:
            await come_to(supervisor, RUNNING, "a")

            held = _limits_of(node.started("a")[0])

        rows = {line[:26].strip(): line[26:].split()[:2] for line in held}
        assert rows["Max open files"] == ["77", "77"]
        assert rows["Max address space"] == [str(3 << 30)] * 2
        assert rows["Max cpu time"] == ["99", "99"]


def _limits_of(pid: int) -> list[str]:
    """Return the lines of the limits that a process has."""
    return Path(f"/proc/{pid}/limits").read_text().splitlines()


async def _pid_of_child(supervisor: Supervisor, name: str) -> int:
    unit = supervisor.unit(name)
    await eventually(lambda: unit.child is not None)
    assert unit.child is not None
    return unit.child.pid


def _follow(supervisor: Supervisor) -> "asyncio.Task[list[Any]]":
    """Begin to follow; return what tells the states that one service went through."""
    following = supervisor.follow()

    async def follow() -> list[Any]:
        states: list[State] = []
        with pytest.raises(UnavailableError, match="draining"):
            async for known in following:
                if known.seen.state not in states[-1:]:
                    states.append(known.seen.state)
        return states

    return asyncio.create_task(follow())
