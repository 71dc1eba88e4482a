"""Connections that say half of what they should."""

import asyncio
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from blackhole.conformance.v1 import probe_pb2
from conformance.harness.crowd import crowd, greeting, half_a_request
from conformance.harness.frames import framed
from conformance.harness.judging import NonConformance

REQUEST = probe_pb2.UnaryRequest(payload=b"whole")


def _heard(said: bytes) -> list[h2.events.Event]:
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    return list(server.receive_data(said))


def test_half_a_request_is_headers_and_half_a_message() -> None:
    events = _heard(half_a_request("/package.Service/Method", REQUEST))

    (headers,) = (one for one in events if isinstance(one, h2.events.RequestReceived))
    (data,) = (one for one in events if isinstance(one, h2.events.DataReceived))
    assert (b":path", b"/package.Service/Method") in headers.headers
    whole = framed(REQUEST)
    assert data.data == whole[: len(whole) // 2]
    assert not any(isinstance(one, h2.events.StreamEnded) for one in events)


def test_a_greeting_is_settings_alone() -> None:
    assert [type(one) for one in _heard(greeting())] == [h2.events.RemoteSettingsChanged]


async def test_a_crowd_comes_and_leaves(tmp_path: Path) -> None:
    said: list[bytes] = []
    left = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.readexactly(5))
        await reader.read()
        writer.close()
        left.release()

    async with await asyncio.start_unix_server(serve, tmp_path / "s"):
        with crowd(tmp_path / "s") as people:
            await people.come(300, b"hello")
            assert people.gone() == 0
        for _ in range(300):
            await asyncio.wait_for(left.acquire(), 5)

    assert said == [b"hello"] * 300


async def test_who_is_hung_up_on_is_counted(tmp_path: Path) -> None:
    gone = asyncio.Semaphore(0)

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()
        gone.release()

    async with await asyncio.start_unix_server(serve, tmp_path / "s"):
        with crowd(tmp_path / "s") as people:
            await people.come(1, b"hello")
            await asyncio.wait_for(gone.acquire(), 5)
            assert people.gone() == 1


async def test_where_nobody_listens_nobody_comes(tmp_path: Path) -> None:
    with crowd(tmp_path / "s") as people, pytest.raises(NonConformance, match="accepted"):
        await people.come(1, b"hello")
