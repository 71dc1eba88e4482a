"""Metrics over HTTP: where they are served, and what becomes of those who read them."""

import asyncio
import contextlib
import http.client
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reference.config.reading import ConfigError
from reference.config.service import load
from reference.config.telemetry import MetricsAddress
from reference.mesh.errors import StartError
from reference.mesh.exposition import Metrics, exposed
from reference.mesh.metering import CallMetrics
from reference.mesh.sockets import SocketError
from reference.mesh.telemetry.measures import Measures

from .serving import Node, short_node


@pytest.fixture
def node() -> Iterator[Node]:
    with short_node(services={"identity": {}}) as made:
        yield made


def _metrics() -> Metrics:
    measures = Measures()
    measures.counter("things_total", "Things").add(3)
    return Metrics(CallMetrics(), measures, asyncio.get_running_loop(), lambda: None)


def _address(node: Node, text: str) -> MetricsAddress | None:
    node.settings["telemetry"] = {"metrics_addresses": {"identity": text}}
    return load(node.file, "identity").telemetry.metrics


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9", ("127.0.0.1", 9)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:9", ("::1", 9)),
        ("unix:/a/b", Path("/a/b")),
    ],
)
def test_an_address_is_a_port_or_a_socket(node: Node, text: str, address: MetricsAddress) -> None:
    assert _address(node, text) == address


@pytest.mark.parametrize("text", ["", "9", ":9", "a:", "a:0", "a:65536", "a:²", "unix:a"])
def test_what_is_neither_is_refused(node: Node, text: str) -> None:
    with pytest.raises(ConfigError, match=r"telemetry\.metrics_addresses\.identity: .* neither"):
        _address(node, text)


def test_who_has_no_address_serves_none(node: Node) -> None:
    assert load(node.file, "identity").telemetry.metrics is None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read(address: MetricsAddress) -> tuple[int, bytes]:
    """Read over HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", timeout=5)
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    connection.sock = socket.socket(family)
    with contextlib.closing(connection):
        connection.sock.connect(str(address) if isinstance(address, Path) else address)
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        return response.status, response.read()


@pytest.mark.parametrize("kind", ["socket", "port"])
async def test_they_are_served_until_the_end(node: Node, kind: str) -> None:
    address = node.root / "m" if kind == "socket" else ("127.0.0.1", _free_port())

    with exposed(address, "identity", _metrics()):
        status, body = await asyncio.to_thread(_read, address)

    assert (status, b"things_total 3" in body) == (200, True)
    with pytest.raises(OSError, match=r"refused|No such file"):
        _read(address)
    assert not (node.root / "m").exists()


async def test_a_socket_is_its_users_alone(node: Node) -> None:
    with exposed(node.root / "m", "identity", _metrics()):
        assert (node.root / "m").stat().st_mode & 0o777 == 0o600


async def test_a_place_that_is_taken_is_told(node: Node) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(StartError, match=r"telemetry\.metrics_addresses\.identity: Address"),
            exposed(taken.getsockname(), "identity", _metrics()),
        ):
            pass
    (node.root / "m").write_text("")
    with (
        pytest.raises(SocketError, match="in the way"),
        exposed(node.root / "m", "identity", _metrics()),
    ):
        pass


async def test_who_leaves_at_once_breaks_nothing(
    node: Node, capfd: pytest.CaptureFixture[str]
) -> None:
    address = node.root / "m"
    with exposed(address, "identity", _metrics()):
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(address))
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        status, _ = await asyncio.to_thread(_read, address)

    assert status == 200
    assert capfd.readouterr() == ("", "")
    assert not [one for one in threading.enumerate() if one.name == "metrics"]


async def test_a_process_serves_them(node: Node) -> None:
    address = node.root / "m"
    node.settings["telemetry"] = {"metrics_addresses": {"identity": f"unix:{address}"}}
    async with node.spawned("identity"):
        status, body = await asyncio.to_thread(_read, address)

    assert status == 200
    assert b"# TYPE blackhole_rpc_total counter" in body
    assert b"blackhole_dids_created_total 0.0" in body


async def test_a_process_that_cannot_says_so(node: Node) -> None:
    node.settings["telemetry"] = {"metrics_addresses": {"identity": "unix:/no/such/dir/m"}}
    (node.root / "file").write_text("")
    node.settings["telemetry"]["metrics_addresses"]["identity"] = f"unix:{node.root}/file/m"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "reference", "service", "identity", "--config", str(node.file)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()

    assert process.returncode == 1
    assert f"{node.root}/file" in json.loads(told.splitlines()[-1])["message"]
    assert not node.socket("identity").exists()
