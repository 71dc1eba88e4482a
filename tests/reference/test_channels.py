"""The client's side of TLS: whom it calls, whom it refuses, and how soon it says so."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from reference.config.client import Pool
from reference.config.tls import TLS
from reference.mesh.channels import Channels, channels
from reference.mesh.checker import HealthChecker
from reference.mesh.dialling import Dialler, Method
from reference.mesh.errors import StartError, UnavailableError
from reference.mesh.health import CHECK, SERVING, Health, HealthServicer

from .authority import DAY, Authority, Files, Pair
from .mesh_place import SOON, Place

CA = Authority()

SERVER = CA.issue("localhost")


ASK = Method(
    CHECK,
    request_streaming=False,
    response_streaming=False,
    serialize=health_pb2.HealthCheckRequest.SerializeToString,
    deserialize=health_pb2.HealthCheckResponse.FromString,
)


class Seen(HealthServicer):
    """Health, and how its callers were identified."""

    def __init__(self) -> None:
        super().__init__(Health("x"))
        self.names: list[bytes] = []

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the method's name
        self.names += context.auth_context().get("x509_subject_alternative_name", [])
        return await super().Check(request, context)


@asynccontextmanager
async def _serving(pair: Pair | None = SERVER) -> AsyncIterator[tuple[str, Seen]]:
    """Serve at a port, by mutual TLS if there is a certificate."""
    server, seen = grpc.aio.server(), Seen()
    health_pb2_grpc.add_HealthServicer_to_server(seen, server)
    if pair:
        credentials = grpc.ssl_server_credentials(
            [(pair.key, pair.certificate)], CA.pem, require_client_auth=True
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"localhost:{port}", seen
    await server.stop(None)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, CA.issue("client"), CA.pem)


def _dialler(tls: TLS | None, timeout: float = SOON) -> Dialler:
    settings = Pool(
        max_conns=1, max_idle_conns=1, idle_timeout=300.0, keep_alive=30.0, connect_timeout=timeout
    )
    return Dialler(settings, 1 << 20, channels(tls))


async def _called(dial: Dialler, address: str) -> int:
    """Dial, and make a call on the connection."""
    connection = await dial(address)
    answer = await connection.callable(ASK)(b"", timeout=SOON)
    await connection.close()
    status: int = answer.status
    return status


async def test_a_port_is_called_with_the_clients_certificate(files: Files) -> None:
    async with _serving() as (address, seen):
        assert await _called(_dialler(files.tls()), address) == SERVING

        assert seen.names == [b"client"]


async def test_a_port_is_called_in_plaintext_without_tls() -> None:
    async with _serving(None) as (address, seen):
        assert await _called(_dialler(None), address) == SERVING

        assert seen.names == []


async def test_a_socket_is_called_in_plaintext_always(files: Files, place: Place) -> None:
    path = place.directory / "x.sock"
    server, seen = grpc.aio.server(), Seen()
    health_pb2_grpc.add_HealthServicer_to_server(seen, server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()

    assert await _called(_dialler(files.tls()), f"unix:{path}") == SERVING

    await server.stop(None)


async def test_a_host_by_the_name_of_a_scheme_is_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(
        "reference.mesh.channels.grpc.aio.insecure_channel",
        lambda target, **_: opened.append(target),
    )

    Channels().open("dns:1", ())
    Channels().open("unix:/s", ())

    assert opened == ["dns:///dns:1", "unix:/s"]


REFUSED: dict[str, tuple[Pair | None, str]] = {
    "an impostor's, of the same name": (
        Authority().issue("localhost"),
        "certificate signature failure",
    ),
    "expired": (CA.issue("localhost", begin=-2 * DAY, end=-DAY), "certificate has expired"),
    "not yet valid": (CA.issue("localhost", begin=DAY, end=2 * DAY), "not yet valid"),
    "another name's": (CA.issue("elsewhere"), "Hostname Verification Check failed"),
    "none: plaintext": (None, "WRONG_VERSION_NUMBER"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_server_whose_certificate_is_wrong_is_refused_at_once(
    files: Files, case: str
) -> None:
    pair, why = REFUSED[case]
    async with _serving(pair) as (address, seen):
        begin = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            await _dialler(files.tls(), 600.0)(address)
        took = time.monotonic() - begin

    assert str(caught.value).startswith(f"no connection to {address}: the TLS handshake failed: ")
    assert why in str(caught.value)
    assert took < SOON
    assert seen.names == []


async def test_a_server_that_refuses_the_client_is_told_at_once(files: Files) -> None:
    files.put(Authority().issue("client"))

    async with _serving() as (address, _):
        with pytest.raises(UnavailableError, match="the TLS handshake failed: "):
            await _dialler(files.tls(), 600.0)(address)


async def test_nobody_there_is_no_failed_handshake(files: Files) -> None:
    async with _serving() as (address, _):
        pass

    with pytest.raises(UnavailableError) as caught:
        await _dialler(files.tls())(address)

    assert "Connection refused" in str(caught.value)
    assert "handshake" not in str(caught.value)


async def test_a_handshake_without_an_answer_ends_at_the_timeout(files: Files) -> None:
    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    begin = time.monotonic()
    with pytest.raises(UnavailableError, match=r"within 0\.2 s"):
        await _dialler(files.tls(), 0.2)(f"localhost:{port}")
    assert 0.2 <= time.monotonic() - begin < SOON

    server.close()
    await server.wait_closed()


async def test_the_configured_name_counts_instead_of_the_host(files: Files) -> None:
    async with _serving(CA.issue("elsewhere")) as (address, _):
        assert await _called(_dialler(files.tls(server_name="elsewhere")), address) == SERVING

    async with _serving() as (address, _):
        with pytest.raises(UnavailableError, match="Hostname Verification"):
            await _dialler(files.tls(server_name="elsewhere"))(address)


async def test_a_renewed_certificate_is_shown_by_new_connections(files: Files) -> None:
    async with _serving() as (address, seen):
        dial = _dialler(files.tls())
        first = await dial(address)
        files.put(CA.issue("renewed"))
        second = await dial(address)

        for connection in (first, second):
            await connection.callable(ASK)(b"", timeout=SOON)
            await connection.close()

        assert seen.names == [b"client", b"renewed"]


async def test_renewed_authorities_decide_of_new_connections(files: Files) -> None:
    other = Authority()
    async with _serving(other.issue("localhost")) as (address, _):
        dial = _dialler(files.tls())
        with pytest.raises(UnavailableError):
            await dial(address)

        files.authorities.write_bytes(other.pem)

        assert await _called(dial, address) == SERVING


async def test_a_broken_renewal_changes_nothing(files: Files) -> None:
    async with _serving() as (address, seen):
        dial = _dialler(files.tls())
        files.certificate.write_bytes(b"")

        assert await _called(dial, address) == SERVING
        assert seen.names == [b"client"]


@pytest.mark.parametrize(("pair", "healthy"), [(SERVER, True), (CA.issue("y"), False)])
async def test_health_of_a_port_is_asked_by_tls(
    files: Files, place: Place, pair: Pair, *, healthy: bool
) -> None:
    checker = HealthChecker(SOON, channels(files.tls()))

    async with _serving(pair) as (address, seen):
        endpoint = place.endpoint("x", socket_path=None, tcp_address=address)
        assert await checker(endpoint) is healthy

    assert seen.names == [b"client"] * healthy


async def test_files_that_cannot_be_used_are_told_at_the_start(files: Files) -> None:
    files.key.chmod(0o644)

    with pytest.raises(StartError, match=r"tls\.key_file: .*key\.pem: others can get at it"):
        channels(files.tls())


async def test_a_handshake_that_succeeds_at_the_second_attempt_has_failed(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Flaky:
        """A channel that is connected just after it was said not to be."""

        def get_state(self, **_: Any) -> grpc.ChannelConnectivity:
            return grpc.ChannelConnectivity.TRANSIENT_FAILURE

        def unary_unary(self, _path: str) -> Callable[[bytes], Any]:
            async def call(request: bytes) -> bytes:
                return request

            return call

        async def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr(Channels, "open", lambda *_: Flaky())

    with pytest.raises(UnavailableError, match="the TLS handshake failed once"):
        await _dialler(files.tls())("localhost:1")


def test_it_shows_how_ports_are_spoken_to(files: Files) -> None:
    assert repr(channels(None)) == "Channels(tls=False)"
    assert repr(channels(files.tls())) == "Channels(tls=True)"
