"""Every service as a process: it serves, ends when told, and says why it cannot start."""

import asyncio
import importlib
import json
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from reference import cli
from reference.config.service import load
from reference.mesh.errors import StartError
from reference.mesh.health import NOT_SERVING, SERVING, Health

from .mesh_place import eventually
from .serving import SOON, Node, connected, short_node

NAMES = sorted(cli.SERVICES)
DURABLE = ["identity", "ledger", "storage"]


@pytest.fixture
def node() -> Iterator[Node]:
    services: dict[str, Any] = {name: {} for name in NAMES}
    services["storage"] = {"dependencies": ["identity", "ledger"]}
    with short_node(services=services, health={"watch_interval": "0.1s"}) as one:
        yield one


@pytest.mark.parametrize("name", NAMES)
async def test_a_service_serves_until_it_is_told_to_stop(node: Node, name: str) -> None:
    async with node.spawned(name) as process:
        async with connected(node.socket(name)) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=name)
            assert (await stub.Check(request, timeout=SOON)).status == SERVING

        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()

    lines = [json.loads(line) for line in log.splitlines()]
    assert (process.returncode, lines[-1]["message"]) == (0, "stopped")
    assert {line["service"] for line in lines} == {name}
    assert not node.socket(name).exists()


@pytest.mark.parametrize("name", DURABLE)
async def test_a_data_directory_that_cannot_be_made_is_named(node: Node, name: str) -> None:
    node.data("").parent.mkdir(exist_ok=True)
    (node.root / "d").write_text("")
    command = ["-m", "reference", "service", name, "--config", str(node.file)]

    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stderr=asyncio.subprocess.PIPE
    )
    _, log = await process.communicate()

    line = json.loads(log.splitlines()[-1])
    assert (process.returncode, line["level"]) == (1, "error")
    assert line["message"].startswith(f"data_dir: {node.root}/d/{name}")


@pytest.mark.parametrize("name", DURABLE)
async def test_a_store_that_cannot_be_opened_is_no_start(node: Node, name: str) -> None:
    (node.root / "d").write_text("")
    opened = importlib.import_module(cli.SERVICES[name]).opened

    with pytest.raises(StartError, match=rf"data_dir: {node.root}/d"):
        async with opened(load(node.file, name), Health(name)):
            pass


@pytest.mark.parametrize("name", DURABLE)
async def test_health_follows_the_store(node: Node, name: str) -> None:
    opened = importlib.import_module(cli.SERVICES[name]).opened
    health, away = Health(name), node.root / "away"
    (node.root / "s").mkdir()

    async with opened(load(node.file, name), health):
        assert health.status(name) == SERVING
        node.data(name).rename(away)
        await eventually(lambda: health.status(name) == NOT_SERVING)
        node.data(name).mkdir()
        assert health.status(name) == NOT_SERVING
        node.data(name).rmdir()
        away.rename(node.data(name))
        await eventually(lambda: health.status(name) == SERVING)
