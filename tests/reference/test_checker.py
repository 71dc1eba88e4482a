"""The health checker against servers that answer, refuse, lie and keep silent."""

import asyncio
from contextlib import closing
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from reference.mesh.checker import HealthChecker
from reference.mesh.health import NOT_SERVING, Health, HealthServicer

from .mesh_place import SOON, Place


async def _serve(address: str, health: Health | None) -> tuple[Any, int]:
    server = grpc.aio.server()
    if health:
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
    port = server.add_insecure_port(address)
    await server.start()
    return server, port


@pytest.mark.parametrize(
    ("name", "status", "healthy"),
    [("a", None, True), ("a", NOT_SERVING, False), ("stranger", None, False)],
)
async def test_only_serving_is_healthy(
    place: Place, name: str, status: int | None, *, healthy: bool
) -> None:
    endpoint = place.endpoint(name)
    health = Health("a")
    if status is not None:
        health.set(status)
    server, _ = await _serve(f"unix:{endpoint.socket_path}", health)

    assert await HealthChecker(SOON)(endpoint) is healthy

    await server.stop(None)


async def test_a_path_that_is_no_plain_uri(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = place.directory / "a%41 #1?"
    odd.mkdir()
    # gRPC takes no such path to listen at either, so it is told a short one.
    monkeypatch.chdir(odd)
    server, _ = await _serve("unix:a.sock", Health("a"))

    assert await HealthChecker(SOON)(place.endpoint("a", socket_path=odd / "a.sock"))

    await server.stop(None)


async def test_tcp(place: Place) -> None:
    server, port = await _serve("127.0.0.1:0", Health("a"))
    endpoint = place.endpoint("a", socket_path=None, tcp_address=f"localhost:{port}")

    assert await HealthChecker(SOON)(endpoint)

    await server.stop(None)
    assert not await HealthChecker(SOON)(endpoint)


async def test_who_does_not_know_the_question_is_not_healthy(place: Place) -> None:
    endpoint = place.endpoint("a")
    server, _ = await _serve(f"unix:{endpoint.socket_path}", None)

    assert not await HealthChecker(SOON)(endpoint)

    await server.stop(None)


async def _nonsense(_request: bytes, _context: Any) -> bytes:
    return b"\xff"


async def _nothing(_request: bytes, _context: Any) -> bytes:
    await asyncio.Event().wait()
    return b""


@pytest.mark.parametrize(("answer", "timeout"), [(_nonsense, SOON), (_nothing, 0.05)])
async def test_who_answers_nonsense_or_nothing_is_not_healthy(
    place: Place, answer: Any, timeout: float
) -> None:
    handler: Any = grpc.unary_unary_rpc_method_handler(answer)
    service = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service,))
    endpoint = place.endpoint("a")
    server.add_insecure_port(f"unix:{endpoint.socket_path}")
    await server.start()

    async with asyncio.timeout(SOON):
        assert not await HealthChecker(timeout)(endpoint)

    await server.stop(None)


async def test_nobody_there_is_not_healthy_and_known_at_once(place: Place) -> None:
    stale = place.endpoint("a", socket_path=place.stale("a.sock"))

    for endpoint in (stale, place.endpoint("gone")):
        assert not await HealthChecker(3600)(endpoint)


async def test_who_keeps_silent_is_not_healthy_and_every_connection_is_closed(
    place: Place,
) -> None:
    listening = place.bind("a.sock")
    listening.listen()
    checker = HealthChecker(0.05)

    assert not await checker(place.endpoint("a"))

    assert repr(checker) == "HealthChecker(timeout=0.05)"
    connection, _ = listening.accept()
    connection.settimeout(SOON)
    with closing(connection):
        while connection.recv(1 << 16):
            pass  # what it said before it hung up
