"""The orchestrator as a process: its API, its end, and what is left of it when it is killed."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console

from blackhole.orchestrator.v1 import orchestrator_pb2 as pb
from blackhole.orchestrator.v1 import orchestrator_pb2_grpc
from reference.orchestrator.table import table

from .orchestrated import Orchestra, alive, kill, orchestra
from .serving import SOON, connected, refusal


@pytest.fixture
def node() -> Iterator[Orchestra]:
    with orchestra(a=["b"], b={"version": "1.0.0"}) as one:
        yield one


@asynccontextmanager
async def _calling(node: Orchestra) -> AsyncIterator[Any]:
    async with connected(node.socket("orchestrator")) as channel:
        yield orchestrator_pb2_grpc.OrchestratorServiceStub(channel)


async def _serving(node: Orchestra) -> None:
    """Wait until the orchestrator says that all services run or will not."""
    async with connected(node.socket("orchestrator")) as channel, asyncio.timeout(SOON):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest(service="orchestrator")
        async for told in stub.Watch(asked):
            if told.status == health_pb2.HealthCheckResponse.SERVING:
                return


async def test_services_are_told_whole(node: Orchestra) -> None:
    async with node.orchestrated(), _calling(node) as stub:
        await _serving(node)
        listed = (await stub.ListServices(pb.ListServicesRequest())).services

        assert [one.name for one in listed] == ["a", "b"]
        for one in listed:
            assert one.last_check.ToSeconds() > 0
            one.ClearField("last_check")
        assert listed[1] == pb.ServiceInfo(
            name="b",
            unix_socket=str(node.socket("b@1.0.0")),
            pid=node.started("b@1.0.0")[0],
            health=pb.SERVICE_HEALTH_SERVING,
            state=pb.SERVICE_STATE_RUNNING,
            version="1.0.0",
        )
        got = (await stub.GetService(pb.GetServiceRequest(name="a"))).service
        assert (got.name, got.pid) == ("a", node.started("a")[0])


async def test_one_who_watches_sees_all_and_then_each_change(node: Orchestra) -> None:
    async with node.orchestrated() as process, _calling(node) as stub:
        await _serving(node)
        watching = stub.WatchServices(pb.WatchServicesRequest())
        first = [(await watching.read()).service.name for _ in range(2)]
        assert first == ["a", "b"]

        await stub.StopService(pb.StopServiceRequest(name="a"))
        seen: list[int] = []
        while pb.SERVICE_STATE_STOPPED not in seen:
            seen.append((await watching.read()).service.state)
        assert seen[0] == pb.SERVICE_STATE_STOPPING

        process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError, match="the service is draining") as ended:
            async with asyncio.timeout(SOON):
                while True:
                    await watching.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_services_are_changed_by_name(node: Orchestra) -> None:
    async with node.orchestrated(), _calling(node) as stub:
        await _serving(node)

        stopped = (await stub.StopService(pb.StopServiceRequest(name="a"))).service
        assert (stopped.state, stopped.pid) == (pb.SERVICE_STATE_STOPPED, 0)
        assert stopped.health == pb.SERVICE_HEALTH_UNKNOWN
        started = (await stub.RestartService(pb.RestartServiceRequest(name="a"))).service
        assert (started.state, started.pid) == (pb.SERVICE_STATE_RUNNING, node.started("a")[-1])
        rolled = (await stub.RollService(pb.RollServiceRequest(name="b", version="1.1.0"))).service
        assert (rolled.version, rolled.pid) == ("1.1.0", node.started("b@1.1.0")[0])


REFUSED: dict[str, tuple[str, Any, tuple[str, str, list[str]]]] = {
    "no such service to get": (
        "GetService",
        pb.GetServiceRequest(name="c"),
        ("NOT_FOUND", "there is no service 'c'", []),
    ),
    "no such service to update": (
        "RollService",
        pb.RollServiceRequest(name="c", version="1.0.0"),
        ("NOT_FOUND", "there is no service 'c'", []),
    ),
    "no version": (
        "RollService",
        pb.RollServiceRequest(name="b", version="one"),
        ("INVALID_ARGUMENT", "", ["version"]),
    ),
    "a version with a v": (
        "RollService",
        pb.RollServiceRequest(name="b", version="v2.0.0"),
        ("INVALID_ARGUMENT", "", ["version"]),
    ),
    "no program": (
        "RollService",
        pb.RollServiceRequest(name="b", version="2.0.0", command=["/nowhere"]),
        ("INVALID_ARGUMENT", "", ["command"]),
    ),
    "the same version": (
        "RollService",
        pb.RollServiceRequest(name="b", version="1.0.0"),
        ("FAILED_PRECONDITION", "b runs in version 1.0.0 already", []),
    ),
}


async def test_what_makes_no_sense_is_refused(node: Orchestra) -> None:
    async with node.orchestrated(), _calling(node) as stub:
        await _serving(node)
        for case, (method, request, expected) in REFUSED.items():
            code, details, fields = await refusal(getattr(stub, method)(request))
            assert (code, fields) == (expected[0], expected[2]), case
            assert expected[1] in details, case


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_with_all_its_services_and_their_sockets(
    node: Orchestra, number: signal.Signals
) -> None:
    async with node.orchestrated() as process:
        await _serving(node)
        process.send_signal(number)
        process.send_signal(number)

        async with asyncio.timeout(SOON):
            assert await process.wait() == 0
        assert [name for name, _ in node.noted("stops")] == ["a", "b@1.0.0"]
        assert not any(alive(pid) for _, pid in node.noted("starts"))
        assert list((node.root / "s").iterdir()) == []


async def test_one_that_is_killed_leaves_nothing_for_long_and_another_starts(
    node: Orchestra,
) -> None:
    node.tell("b@1.0.0", "deaf")
    async with node.orchestrated() as process:
        await _serving(node)
        kill(process.pid)
        await process.wait()

        async with node.orchestrated(), _calling(node) as stub:
            await _serving(node)
            running = {pid for _, pid in node.noted("starts") if alive(pid)}
            listed = (await stub.ListServices(pb.ListServicesRequest())).services
            assert running == {one.pid for one in listed}
            assert len(running) == 2


async def test_a_second_one_is_refused_and_touches_nothing(node: Orchestra) -> None:
    async with node.orchestrated() as process:
        await _serving(node)
        starts = node.noted("starts")
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "reference", "orchestrator", "--config", str(node.file)),
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await second.communicate()

        assert second.returncode != 0
        line = json.loads(told)
        path = node.socket("orchestrator")
        what = f"{path}: an orchestrator serves here already, process {process.pid}"
        assert (line["level"], line["message"]) == ("error", what)
        assert all(alive(pid) for _, pid in starts)
        assert node.noted("starts") == starts


async def test_a_configuration_that_cannot_be_starts_nothing(node: Orchestra) -> None:
    node.settings["services"]["b"]["dependencies"] = ["a"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "reference", "orchestrator", "--config", str(node.file)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()

    assert process.returncode == 2
    assert "a cycle" in json.loads(told)["message"]
    assert node.noted("starts") == []
    assert not (node.root / "s").exists()


def test_a_person_at_a_terminal_sees_a_row_a_service(node: Orchestra) -> None:
    units = node.units()
    units[-1].note(detail="waits for [b]")
    with StringIO() as out:
        Console(width=200, file=out).print(table(units))
        shown = out.getvalue()

    assert "waits for [b]" in shown
    assert str(node.socket("b@1.0.0")) in shown
    assert shown.count("waiting") == 2


async def test_its_log_is_json_and_its_output_is_nothing(node: Orchestra) -> None:
    async with node.orchestrated() as process:
        await _serving(node)
        process.send_signal(signal.SIGTERM)
        await process.wait()

    lines = [json.loads(line) for line in (node.root / "log").read_text().splitlines()]
    assert {line["service"] for line in lines} == {"orchestrator"}
