"""The Dialler: connections that are made, refused, or given up."""

import asyncio
import time
from contextlib import suppress
from typing import Self

import pytest

from reference.config.client import Pool
from reference.mesh.dialling import Dialler
from reference.mesh.errors import UnavailableError

from .mesh_place import SOON, Place

TIMEOUT = 0.2

SETTINGS = Pool(
    max_conns=1, max_idle_conns=1, idle_timeout=300.0, keep_alive=30.0, connect_timeout=TIMEOUT
)

GRPC = 0.8
"""Seconds for which gRPC by itself goes on connecting at least."""


class Silent:
    """A server that accepts and says nothing."""

    def __init__(self, place: Place) -> None:
        self.path = place.directory / "x.sock"
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accepted, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.begun.set()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        self.ended.set()


async def test_a_dial_ends_at_its_timeout(place: Place) -> None:
    async with Silent(place) as server, asyncio.timeout(SOON):
        begin = time.monotonic()
        with pytest.raises(UnavailableError):
            await Dialler(SETTINGS, 1 << 20)(f"unix:{server.path}")
        took = time.monotonic() - begin
        await server.ended.wait()

    assert TIMEOUT <= took < GRPC


async def test_a_dial_that_is_given_up_goes_on_no_longer(place: Place) -> None:
    async with Silent(place) as server, asyncio.timeout(SOON):
        begin = time.monotonic()
        dial = asyncio.create_task(Dialler(SETTINGS, 1 << 20)(f"unix:{server.path}"))
        await server.begun.wait()
        dial.cancel()
        await asyncio.gather(dial, return_exceptions=True)
        await server.ended.wait()
        took = time.monotonic() - begin

    assert took < GRPC


async def test_nobody_there_is_unavailable(place: Place) -> None:
    with pytest.raises(UnavailableError, match="refused, or no HTTP/2 there"):
        await Dialler(SETTINGS, 1 << 20)(f"unix:{place.stale('x.sock')}")
