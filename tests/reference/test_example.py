"""The example: one command, a node that answers, and nothing left of it in the end."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from reference.config.reading import ConfigError
from reference.example import process
from reference.example.hello import hello
from reference.example.minting import LIFE

from .mesh_place import Place, eventually, short_place
from .orchestrated import alive
from .serving import SOON

COMMAND = (sys.executable, "-m", "reference", "example", "--dir")


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_place() as place:
        yield place.root / "example"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_newcomer_is_greeted_by_every_service(
    directory: Path, number: signal.Signals
) -> None:
    running = await asyncio.create_subprocess_exec(
        *(*COMMAND, str(directory)), stdout=asyncio.subprocess.PIPE
    )
    try:
        await eventually((directory / "s" / "orchestrator.sock").exists)
        told = [line async for line in _in_thread(hello(directory))]
    finally:
        running.send_signal(number)
        async with asyncio.timeout(SOON):
            said, _ = await running.communicate()

    assert running.returncode == 0
    assert told[0].startswith("identity created did:key:")
    assert told[1:4] == [
        "storage stored 5 bytes for it",
        "ledger recorded it: entry 0, storage.file.uploaded",
        "events told 0 subscribers",
    ]
    states = [line.rpartition(" in process ") for line in told[4:]]
    names = ("events", "identity", "ledger", "storage")
    assert [state for state, _, _ in states] == [f"orchestrator: {x} is RUNNING" for x in names]
    assert not any(alive(int(pid)) for _, _, pid in states)
    assert list((directory / "s").iterdir()) == []
    port = json.loads((directory / "node.json").read_text())["services"]["identity"]["tcp"]["port"]
    assert f"localhost:{port} blackhole.identity" in said.decode()
    lines = [json.loads(line) for line in (directory / "log").read_text().splitlines()]
    assert "error" not in {line["level"] for line in lines}


async def _in_thread(lines: Iterator[str]) -> Any:
    while (line := await asyncio.to_thread(next, lines, None)) is not None:
        yield line


def test_what_is_minted_is_its_owners_alone(directory: Path) -> None:
    directory.mkdir()
    process.prepare(directory, 7)

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
    assert modes.pop("node.json") & 0o022 == 0
    assert set(modes.values()) == {0o600}
    assert LIFE.days > 1


def test_a_start_that_fails_is_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run_node(settings: Any) -> int:
        assert settings.socket == directory / "s" / "orchestrator.sock"
        os.write(2, b"first\nlast\n")
        return 1

    monkeypatch.setattr(process, "run_node", run_node)
    before = os.dup(2)
    try:
        assert process.run(directory) == 1
    finally:
        os.dup2(before, 2)
        os.close(before)

    out, told = capfd.readouterr()
    assert told == "last\n"
    assert f"-m reference.example.hello {directory}" in out
    assert (directory / "log").read_text() == "first\nlast\n"


def test_a_token_for_somebody_is_printed(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory.mkdir()
    process.prepare(directory, 7)

    assert process.tell_token(directory, "did:key:1", "uploader") == 0

    claims = jwt.decode(capsys.readouterr().out.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["role"]) == ("did:key:1", "uploader")


def test_what_cannot_be_is_told(place: Place) -> None:
    place.listen("orchestrator.sock")
    long = place.root / ("x" * 100)

    with pytest.raises(ConfigError, match=r"^an example runs here already"):
        process.run(place.root)
    with pytest.raises(ConfigError, match="a socket's path has 107 bytes at most"):
        process.run(long)
    with pytest.raises(ConfigError, match="Not a directory"):
        process.run(Path("/dev/null/x"))
    with pytest.raises(ConfigError, match="No such file"):
        process.tell_token(place.root, "x", "admin")
    assert not long.exists()
    assert [file.name for file in place.root.iterdir()] == ["s"]


async def test_the_command_line_asks_for_a_token_or_a_node(directory: Path) -> None:
    """With no node in the directory: a token cannot be had."""
    asked = await asyncio.create_subprocess_exec(
        *(*COMMAND, str(directory), "--token", "x"), stderr=asyncio.subprocess.PIPE
    )
    _, told = await asked.communicate()

    assert asked.returncode == 2
    assert str(directory / "issuer.key") in json.loads(told)["message"]
