"""The port of a service: real handshakes, and every way in which one is refused."""

import asyncio
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from reference.config.tls import Port
from reference.mesh.errors import StartError
from reference.mesh.health import SERVING, Health, HealthServicer
from reference.mesh.security import port as port_module
from reference.mesh.security.port import TLSPort, addresses

from .authority import DAY, Authority, Files, Pair
from .mesh_place import SOON

CA = Authority()

SERVER = CA.issue("localhost", "127.0.0.1")

CLIENT = CA.issue("client")

HOST = "127.0.0.1"


@dataclass
class Listening:
    """A server at a port."""

    files: Files
    port: int

    async def ask(self, pair: Pair | None = CLIENT, authorities: bytes = CA.pem) -> Any:
        """Ask for health over a new connection; return the status or the error's code."""
        key, chain = (pair.key, pair.certificate) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(authorities, key, chain)
        return await _ask(grpc.aio.secure_channel(f"{HOST}:{self.port}", credentials, LOCAL))


LOCAL = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


def _stub(channel: Any) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return stub


async def _ask(channel: Any) -> Any:
    async with channel:
        ask = _stub(channel).Check
        try:
            answer: Any = await ask(health_pb2.HealthCheckRequest(), timeout=SOON)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return answer.status


@asynccontextmanager
async def _serving(port: TLSPort, options: Any = ()) -> AsyncIterator[int]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), *options])
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(Health("x")), server)
    port.bind(server)
    await server.start()
    yield int(port.bound[0].rpartition(":")[2])
    await server.stop(None)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, SERVER, CA.pem)


@pytest.fixture
async def listening(files: Files) -> AsyncIterator[Listening]:
    async with _serving(TLSPort(Port("x", HOST, 0, files.tls()))) as number:
        yield Listening(files, number)


async def test_who_shows_a_certificate_is_answered(listening: Listening) -> None:
    assert await listening.ask() == SERVING


@pytest.mark.parametrize(
    "pair",
    [
        None,
        Authority().issue("client"),
        CA.issue("client", begin=-2 * DAY, end=-DAY),
        CA.issue("client", begin=DAY, end=2 * DAY),
    ],
    ids=["none", "of another authority", "expired", "not yet valid"],
)
async def test_who_shows_none_or_a_wrong_one_is_not(
    listening: Listening, pair: Pair | None
) -> None:
    assert await listening.ask(pair) is grpc.StatusCode.UNAVAILABLE
    assert await listening.ask() == SERVING


async def test_plaintext_gets_no_answer(listening: Listening) -> None:
    plain = grpc.aio.insecure_channel(f"{HOST}:{listening.port}", LOCAL)
    assert await _ask(plain) is grpc.StatusCode.UNAVAILABLE

    reader, writer = await asyncio.open_connection(HOST, listening.port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    async with asyncio.timeout(SOON):
        # An alert at most, which is no frame.
        assert b"\x00\x00\x04" not in await reader.read()
    writer.close()


async def _handshake(listening: Listening, version: ssl.TLSVersion) -> tuple[Any, Any]:
    """Shake hands in one version of TLS; return it as both saw it, with the protocol chosen."""
    context = ssl.create_default_context(cadata=CA.pem.decode())
    # OpenSSL itself would not offer the old ones.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.load_cert_chain(listening.files.certificate, listening.files.key)
    context.set_alpn_protocols(["h2"])
    async with asyncio.timeout(SOON):
        _, writer = await asyncio.open_connection(HOST, listening.port, ssl=context)
    inside = writer.get_extra_info("ssl_object")
    found = inside.version(), inside.selected_alpn_protocol()
    writer.close()
    return found


async def test_two_versions_of_tls_are_spoken_both_with_http2(listening: Listening) -> None:
    assert await _handshake(listening, ssl.TLSVersion.TLSv1_2) == ("TLSv1.2", "h2")
    assert await _handshake(listening, ssl.TLSVersion.TLSv1_3) == ("TLSv1.3", "h2")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_older_versions_are_refused(listening: Listening, version: ssl.TLSVersion) -> None:
    # An alert or an end: from there, and not because nothing was offered here.
    with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
        await _handshake(listening, version)
    assert getattr(caught.value, "reason", None) in (None, "TLSV1_ALERT_PROTOCOL_VERSION")


async def test_a_renewed_certificate_is_shown_to_new_connections(listening: Listening) -> None:
    other = Authority()
    assert await listening.ask(authorities=other.pem) is grpc.StatusCode.UNAVAILABLE

    listening.files.put(other.issue(HOST))

    assert await listening.ask(authorities=other.pem) == SERVING
    assert await listening.ask() is grpc.StatusCode.UNAVAILABLE


async def test_renewed_authorities_decide_of_new_connections(listening: Listening) -> None:
    other = Authority()
    stranger = other.issue("client")
    assert await listening.ask(stranger) is grpc.StatusCode.UNAVAILABLE

    listening.files.authorities.write_bytes(other.pem)

    assert await listening.ask(stranger) == SERVING
    assert await listening.ask() is grpc.StatusCode.UNAVAILABLE


async def test_a_connection_outlives_the_renewal(listening: Listening) -> None:
    credentials = grpc.ssl_channel_credentials(CA.pem, CLIENT.key, CLIENT.certificate)
    async with grpc.aio.secure_channel(f"{HOST}:{listening.port}", credentials, LOCAL) as channel:
        ask = _stub(channel).Check
        await ask(health_pb2.HealthCheckRequest(), timeout=SOON)

        other = Authority()
        listening.files.put(other.issue(HOST))
        listening.files.authorities.write_bytes(other.pem)
        assert await listening.ask() is grpc.StatusCode.UNAVAILABLE

        await ask(health_pb2.HealthCheckRequest(), timeout=SOON)


@pytest.mark.parametrize(
    "broken", [SERVER.certificate[:300], Authority().issue(HOST).certificate], ids=["half", "alone"]
)
async def test_a_broken_renewal_changes_nothing(listening: Listening, broken: bytes) -> None:
    listening.files.certificate.write_bytes(broken)

    assert await listening.ask() == SERVING


async def test_every_address_of_a_host_is_renewed(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_module, "addresses", lambda *_: ["127.0.0.1", "127.0.0.2"])
    port = TLSPort(Port("x", "both", 0, files.tls()))

    async with _serving(port):
        other = Authority()
        for address in port.bound:
            files.put(SERVER)
            credentials = grpc.ssl_channel_credentials(other.pem, CLIENT.key, CLIENT.certificate)
            options = [*LOCAL, ("grpc.ssl_target_name_override", HOST)]
            files.put(other.issue(HOST))
            found = await _ask(grpc.aio.secure_channel(address, credentials, options))
            assert found == SERVING


async def test_who_keeps_silent_or_stops_halfway_keeps_nobody_out(files: Files) -> None:
    options = [("grpc.server_handshake_timeout_ms", 500)]
    async with _serving(TLSPort(Port("x", HOST, 0, files.tls())), options) as number:
        listening = Listening(files, number)
        silent = [await asyncio.open_connection(HOST, number) for _ in range(200)]
        for _, writer in silent[:100]:
            writer.write(b"\x16\x03\x01\x02\x00\x01")

        assert await listening.ask() == SERVING

        async with asyncio.timeout(SOON):
            assert await asyncio.gather(*(reader.read() for reader, _ in silent)) == [b""] * 200
        for _, writer in silent:
            writer.close()
        assert await listening.ask() == SERVING


async def test_a_port_that_is_taken_is_refused_by_name(listening: Listening) -> None:
    port = TLSPort(Port("x", HOST, listening.port, listening.files.tls()))

    with pytest.raises(StartError) as caught:
        port.bind(grpc.aio.server())

    assert str(caught.value) == (
        f"services.x.tcp: cannot listen at {HOST}:{listening.port}: Address already in use"
    )


async def test_a_port_that_is_taken_in_between_is_refused_too(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_module, "addresses", lambda *_: [HOST])
    port = TLSPort(Port("x", HOST, listening.port, listening.files.tls()))

    with pytest.raises(StartError, match=r"^services\.x\.tcp: cannot listen at .*: Failed to bind"):
        port.bind(grpc.aio.server(options=[("grpc.so_reuseport", 0)]))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 64, "a\0b", "203.0.113.1"])
async def test_a_host_that_is_none_here_is_refused_by_name(files: Files, host: str) -> None:
    port = TLSPort(Port("x", host, 1, files.tls()))

    with pytest.raises(StartError, match=r"^services\.x\.tcp: cannot listen at "):
        port.bind(grpc.aio.server())


def test_addresses_that_this_machine_lacks_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        here = (socket.AF_INET, 1, 6, "", (HOST, port))
        away = (socket.AF_INET, 1, 6, "", ("203.0.113.1", port))
        six = (socket.AF_INET6, 1, 6, "", ("2001:db8::1", port, 0, 0))
        return {"both": [six, away, here, here], "away": [six, away]}[host]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    assert addresses("both", 0) == [HOST]
    with pytest.raises(OSError, match="Cannot assign requested address"):
        addresses("away", 0)


async def test_a_port_that_is_taken_at_one_of_several_addresses_is_taken(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(_host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (host, port)) for host in ("127.0.0.2", HOST)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    with pytest.raises(OSError, match="Address already in use"):
        addresses("both", listening.port)


def test_an_address_of_ipv6_has_brackets() -> None:
    try:
        assert addresses("::1", 0) == ["[::1]"]
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


def test_it_shows_what_it_is(files: Files) -> None:
    assert repr(TLSPort(Port("x", "::1", 1, files.tls()))) == "TLSPort('[::1]:1', bound=[])"
