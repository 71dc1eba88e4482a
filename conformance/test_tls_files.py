"""Chapter 3: certificates, keys and authorities as files (TLS-9 to TLS-11)."""

import json
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from .harness.bounds import until
from .harness.handshakes import Handshake, shake
from .harness.identity import HEALTH, Identity
from .harness.judging import expect
from .harness.logs import records
from .harness.nodes import Node
from .harness.pki import EXPIRED
from .harness.raw import RawConnection, framed
from .harness.remote import Remote, suite_pki

pytestmark = pytest.mark.transports("tcp")

FILES = ("cert_file", "key_file", "ca_file")

RENEWED = 1.0
"""Seconds beyond `tls.reload_interval` until new files must be in use (CONFORMANCE.md, TLS-11)."""

INTERVAL = 0.2


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("case", ["missing", "a-directory", "not-pem"])
async def test_tls_9_a_file_that_cannot_be_used_is_named(
    control: Node, file: str, case: str
) -> None:
    """TLS-9: A file that cannot be used ends the start, and is named."""
    broken = control.directory / "broken"
    if case == "a-directory":
        broken.mkdir()
    elif case == "not-pem":
        broken.write_text("no certificate, no key\n")
        broken.chmod(0o600)

    ended = await control.refuses({"tls": {file: str(broken)}})

    expect(ended.says(str(broken)), equals=True, what=f"a line of standard error holds {broken}")
    expect(control.leftovers(), equals=[], what="files left in socket_dir")


async def test_tls_9_a_key_of_another_certificate_is_refused(control: Node) -> None:
    """TLS-9: A key that does not fit the certificate ends the start, and is named."""
    _, key = suite_pki().authority.issue("another").write(control.directory, "another")

    ended = await control.refuses({"tls": {"key_file": str(key)}})

    expect(
        ended.says(str(key), _file(control, "cert_file")),
        equals=True,
        what="a line of standard error holds the path of the key or of the certificate",
    )
    expect(control.leftovers(), equals=[], what="files left in socket_dir")


async def test_tls_9_an_expired_certificate_is_refused(control: Node) -> None:
    """TLS-9: A certificate that expired ends the start, and is named."""
    expired = suite_pki().authority.issue("expired", valid=EXPIRED)
    certificate, key = expired.write(control.directory, "expired")

    ended = await control.refuses({"tls": {"cert_file": str(certificate), "key_file": str(key)}})

    expect(
        ended.says(str(certificate)),
        equals=True,
        what=f"a line of standard error holds {certificate}",
    )
    expect(control.leftovers(), equals=[], what="files left in socket_dir")


async def test_tls_9_a_port_without_tls_is_refused(control: Node) -> None:
    """TLS-9: A port without `tls` ends the start, and the field is named."""
    ended = await control.refuses({"tls": None})

    expect(ended.says("tls"), equals=True, what="a line of standard error holds tls")
    expect(control.leftovers(), equals=[], what="files left in socket_dir")


async def test_tls_9_a_port_that_is_taken_is_refused(control: Node) -> None:
    """TLS-9: A port that another process listens at ends the start, and is named."""
    remote = _remote(control)
    remote.port.take()

    ended = await control.refuses()

    expect(
        ended.says(str(remote.port.number)),
        equals=True,
        what=f"a line of standard error holds {remote.port.number}",
    )
    expect(control.leftovers(), equals=[], what="files left in socket_dir")


async def test_tls_10_a_key_that_others_can_read_is_told(control: Node) -> None:
    """TLS-10: A key file that others can read is refused, or warned about."""
    remote = _remote(control)
    remote.expose_key()

    config = control.write(control.settings())
    process = control.run("service", "identity", "--config", str(config))

    def told() -> bool:
        levels = [
            one.get("level") for one in records(process) if str(remote.key_file) in json.dumps(one)
        ]
        return "warning" in levels or "error" in levels

    await until(
        told, bound=control.start_timeout, what="a line of level warning or error holds the path"
    )


async def test_tls_11_renewed_files_are_taken_up(node: Node) -> None:
    """TLS-11: New connections get the renewed certificate, and the old ones go on."""
    service = await node.start({"tls": {"reload_interval": f"{INTERVAL}s"}})
    remote, pid = _remote(node), service.process.pid
    renewed, own = suite_pki().server().own, remote.server.own
    assert renewed is not None

    async def taken_up() -> bool:
        return (await _seen(remote)).serial == renewed.serial

    async with RawConnection(service.address) as kept:
        before = await _seen(remote)
        expect(await _checked(kept), equals=("0", False), what="the connection at first")
        remote.renew_certificate(renewed)
        await _complained(service, remote)
        between = await _seen(remote)
        remote.renew(renewed)
        await until(taken_up, bound=INTERVAL + RENEWED, what="the renewed certificate is shown")
        checked = await _checked(kept)

    expect(
        (before.serial, between.serial),
        equals=(own and own.serial, own and own.serial),
        what="certificate at first, and while the files did not fit",
    )
    expect(checked, equals=("0", False), what="the connection that was kept")
    await service.lives()
    expect((service.process.alive, service.process.pid), equals=(True, pid), what="the process")


async def _checked(connection: RawConnection) -> tuple[str | None, bool]:
    """Check over a connection; return the grpc-status, and whether the service has closed it."""
    request = framed(health_pb2.HealthCheckRequest(service="identity"))
    answer = await connection.call(f"/{HEALTH}/Check", request)
    return answer.grpc_status, connection.closed


async def _complained(service: Identity, remote: Remote) -> None:
    """Connect until the service has looked at the files, and told what is wrong with them."""
    paths = [str(path) for path in remote.directory.iterdir()]

    async def told() -> bool:
        await _seen(remote)
        return any(path in line for line in service.process.stderr.splitlines() for path in paths)

    await until(
        told, bound=INTERVAL + RENEWED, what="a line of standard error holds the path of a file"
    )


async def _seen(remote: Remote) -> Handshake:
    return await shake(remote.port.number, suite_pki().client)


def _remote(node: Node) -> Remote:
    assert node.remote is not None
    return node.remote


def _file(node: Node, field: str) -> str:
    settings: dict[str, Any] = node.settings()
    return str(settings["tls"][field])
