"""Where a process listens, from its start to its end."""

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from reference.config.reading import ProcessSettings
from reference.config.service import load
from reference.mesh import server
from reference.mesh.errors import StartError
from reference.mesh.health import SERVING, Health
from reference.mesh.listening import Listeners, raise_file_limit
from reference.mesh.security.port import TLSPort

from .authority import Authority, Files
from .mesh_place import SOON, Place

CA = Authority()

CLIENT = CA.issue("client")

HOST = "127.0.0.1"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, CA.issue(HOST), CA.pem)


def _file(place: Place, files: Files, **entry: Any) -> Path:
    """Write a configuration with a port of HOST's, if it is not said otherwise."""
    tls = files.tls()
    content = {
        "socket_dir": str(place.directory),
        "data_dir": str(place.root / "d"),
        "services": {"identity": {"tcp": {"host": HOST, "port": 1}} | entry},
        "tls": {
            "cert_file": str(tls.cert_file),
            "key_file": str(tls.key_file),
            "ca_file": str(tls.ca_file),
        },
    }
    file = place.root / "node.json"
    file.write_text(json.dumps(content))
    return file


def _settings(place: Place, files: Files, **entry: Any) -> ProcessSettings:
    """Return settings whose port is any that is free."""
    settings = load(_file(place, files, **entry), "identity")
    assert settings.port
    return replace(settings, port=replace(settings.port, port=0))


class Nothing:
    """A service without methods."""

    full_names = ()

    def add_to(self, _server: Any) -> None:
        """Add none."""

    def drain(self) -> None:
        """End none."""


@asynccontextmanager
async def _opened(_settings: ProcessSettings, _health: Health) -> AsyncIterator[Nothing]:
    yield Nothing()


class Life:
    """A process's life in this one, from start to stop."""

    def __init__(self, settings: ProcessSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.serving = asyncio.Event()
        self.stop = asyncio.Event()
        self.listeners: Any = None
        life = self

        class Told(Listeners):
            async def start(self, server: Any) -> None:
                await super().start(server)
                life.listeners = self
                life.serving.set()

        monkeypatch.setattr(server, "Listeners", Told)
        monkeypatch.setattr(server, "stop_signal", lambda: self.stop)
        self._task = asyncio.create_task(server.serve(settings, _opened))

    async def ready(self) -> "Life":
        """Wait for it to serve."""
        async with asyncio.timeout(SOON):
            await asyncio.wait(
                [self._task, waiting := asyncio.create_task(self.serving.wait())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            waiting.cancel()
        return self

    @property
    def port(self) -> str:
        """Address of the port."""
        return str(self.listeners.told["tls"])

    async def ended(self) -> None:
        """Wait for its end."""
        async with asyncio.timeout(SOON):
            await self._task


def _by_tls(address: str) -> Any:
    credentials = grpc.ssl_channel_credentials(CA.pem, CLIENT.key, CLIENT.certificate)
    return grpc.aio.secure_channel(address, credentials)


def _stub(channel: Any) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return stub


async def _health(channel: Any) -> Any:
    async with channel:
        request = health_pb2.HealthCheckRequest(service="identity")
        return (await _stub(channel).Check(request, timeout=SOON)).status


async def test_socket_and_port_answer_alike(
    place: Place, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = await Life(_settings(place, files), monkeypatch).ready()
    path = place.directory / "identity.sock"

    assert life.listeners.told == {"socket": str(path), "tls": life.port}
    assert repr(life.listeners) == (
        f"Listeners(PublishedSocket('{path}', published=True),"
        f" TLSPort('{HOST}:0', bound=['{life.port}']))"
    )
    assert await _health(grpc.aio.insecure_channel(f"unix:{path}")) == SERVING
    assert await _health(_by_tls(life.port)) == SERVING

    life.stop.set()
    await life.ended()
    assert not path.exists()


async def test_a_socket_alone_is_all_there_is(
    place: Place, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(_settings(place, files), port=None)
    life = await Life(settings, monkeypatch).ready()

    path = place.directory / "identity.sock"
    assert life.listeners.told == {"socket": str(path)}
    assert await _health(grpc.aio.insecure_channel(f"unix:{path}")) == SERVING

    life.stop.set()
    await life.ended()


async def test_a_port_alone_is_all_there_is(
    place: Place, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = await Life(_settings(place, files, disable_unix_socket=True), monkeypatch).ready()

    assert await _health(_by_tls(life.port)) == SERVING
    assert os.listdir(place.directory) == []

    life.stop.set()
    await life.ended()


async def test_the_port_closes_as_soon_as_the_process_drains(
    place: Place, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = await Life(_settings(place, files), monkeypatch).ready()
    host, _, number = life.port.rpartition(":")
    # Half a handshake, which nothing waits for either.
    _, writer = await asyncio.open_connection(host, int(number))
    writer.write(b"\x16\x03\x01")

    async with _by_tls(life.port) as channel:
        request = health_pb2.HealthCheckRequest(service="identity")
        watching = _stub(channel).Watch(request, timeout=SOON)
        assert (await watching.read()).status == SERVING
        life.stop.set()
        assert (await watching.read()).status != SERVING
        await life.ended()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(number))
    writer.close()


async def test_who_finds_the_socket_finds_the_port_too(
    place: Place, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[list[str]] = []

    def bind(self: TLSPort, server: Any) -> None:
        original(self, server)
        there.append(os.listdir(place.directory))

    original = TLSPort.bind
    monkeypatch.setattr(TLSPort, "bind", bind)
    life = await Life(_settings(place, files), monkeypatch).ready()

    assert there == [[]]
    assert os.listdir(place.directory) == ["identity.sock"]

    life.stop.set()
    await life.ended()


async def test_who_says_nothing_is_sent_away(
    place: Place, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(place, files)
    assert settings.port
    port = replace(settings.port, tls=replace(settings.port.tls, handshake_timeout=0.3))
    life = await Life(replace(settings, port=port), monkeypatch).ready()
    host, _, number = life.port.rpartition(":")

    for reader, writer in (
        await asyncio.open_connection(host, int(number)),
        await asyncio.open_unix_connection(place.directory / "identity.sock"),
    ):
        async with asyncio.timeout(SOON):
            while await reader.read(1 << 16):
                pass
        writer.close()

    life.stop.set()
    await life.ended()


async def test_a_port_that_is_taken_leaves_no_socket_and_its_owner_alone(
    place: Place, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await Life(_settings(place, files, disable_unix_socket=True), monkeypatch).ready()
    taken = int(first.port.rpartition(":")[2])
    settings = load(_file(place, files, tcp={"host": HOST, "port": taken}), "identity")

    second = await Life(settings, monkeypatch).ready()
    with pytest.raises(StartError, match=r"^services\.identity\.tcp: .*Address already in use"):
        await second.ended()
    assert os.listdir(place.directory) == []

    assert await _health(_by_tls(first.port)) == SERVING
    first.stop.set()
    await first.ended()


def test_a_process_may_open_as_many_files_as_its_hard_limit_says() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] // 2, before[1]))

    raise_file_limit()

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_limit_that_cannot_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_file_limit()

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


IMPORTS = """
import asyncio, sys
from pathlib import Path
from reference.config.client import load
from reference.driver import process
from reference.mesh.health import Health

async def start():
    async with process.opened(settings, Health("driver")):
        pass

settings = load(Path(sys.argv[1]))
asyncio.run(start())
print("cryptography" in sys.modules)
"""


@pytest.mark.parametrize("tls", [False, True])
def test_only_who_speaks_tls_imports_what_checks_it(
    place: Place, files: Files, *, tls: bool
) -> None:
    file = _file(place, files)
    content = json.loads(file.read_text())
    if not tls:
        del content["tls"]
    file.write_text(json.dumps(content))

    command = [sys.executable, "-c", IMPORTS, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == f"{tls}\n"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [("key.pem", "tls.key_file: {0}/key.pem: No such file"), ("", "services.identity.tcp: ")],
)
def test_a_failed_start_says_why_in_one_line(
    place: Place, files: Files, tmp_path: Path, spoil: str, told: str
) -> None:
    file = _file(place, files, tcp={"host": "203.0.113.1", "port": 1})
    if spoil:
        (tmp_path / spoil).unlink()

    command = [sys.executable, "-m", "reference", "service", "identity", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    (line,) = done.stderr.splitlines()
    assert json.loads(line)["message"].startswith(told.format(tmp_path))
    assert (done.returncode, os.listdir(place.directory)) == (1, [])
