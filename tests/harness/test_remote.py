"""What a node needs to be reached from other hosts, and a driver to reach them."""

import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format

from blackhole.config.v1.config_pb2 import NodeConfig
from conformance.harness.addresses import HOST
from conformance.harness.pki import Certificate
from conformance.harness.remote import Remote, remote_caller, suite_pki


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    """The port of a node."""
    made = Remote(tmp_path / "tls")
    yield made
    made.close()


def _own(remote: Remote) -> Certificate:
    assert remote.server.own is not None
    return remote.server.own


def test_there_is_one_authority_in_a_process() -> None:
    assert suite_pki() is suite_pki()


def test_settings_name_the_port_and_files_that_fit(remote: Remote) -> None:
    settings = remote.settings("identity")
    tls = settings["tls"]

    json_format.ParseDict(settings, NodeConfig())
    assert settings["services"] == {"identity": {"tcp": {"host": HOST, "port": remote.port.number}}}
    assert tls["server_name"] == "localhost"
    assert Path(tls["cert_file"]).read_bytes() == _own(remote).certificate
    assert remote.key_file == Path(tls["key_file"])
    assert stat.S_IMODE(remote.key_file.stat().st_mode) == 0o600
    context = ssl.create_default_context(cafile=tls["ca_file"])
    context.load_cert_chain(tls["cert_file"], tls["key_file"])
    assert repr(remote) == f"Remote({remote.port.number})"


def test_ports_of_one_node_share_a_certificate(remote: Remote, tmp_path: Path) -> None:
    beside = Remote(tmp_path / "tls", remote)

    assert beside.port.number != remote.port.number
    assert beside.server is remote.server
    assert beside.settings("x")["tls"] == remote.settings("y")["tls"]
    beside.close()


def test_the_address_is_the_suites_or_anybodys(remote: Remote) -> None:
    stranger = suite_pki().showing(None)

    assert remote.address().credentials is suite_pki().client
    assert remote.address(stranger).credentials is stranger
    assert remote.address().port == remote.port.number


def test_a_certificate_may_be_renewed_in_two_steps(remote: Remote) -> None:
    renewed = suite_pki().authority.issue("x")
    certificate = Path(remote.settings("identity")["tls"]["cert_file"])

    remote.renew_certificate(renewed)
    between = certificate.read_bytes(), remote.key_file.read_bytes()
    remote.renew(renewed)

    assert between == (renewed.certificate, _own(remote).key)
    assert remote.key_file.read_bytes() == renewed.key


def test_a_key_may_be_exposed(remote: Remote) -> None:
    remote.expose_key()

    assert stat.S_IMODE(remote.key_file.stat().st_mode) == 0o644


def test_a_driver_has_a_certificate_of_its_own(tmp_path: Path) -> None:
    caller = remote_caller(tmp_path)

    assert Path(caller.settings["cert_file"]).read_bytes() == caller.certificate.certificate
    assert Path(caller.settings["ca_file"]).read_bytes() == suite_pki().authority.certificate
    assert caller.certificate.serial != remote_caller(tmp_path).certificate.serial
