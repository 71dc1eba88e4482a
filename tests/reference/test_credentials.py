"""What gRPC is given of certificates: only what is new to it."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from reference.mesh.security.certificates import Certificates
from reference.mesh.security.credentials import for_client, for_server

from .authority import Authority, Files

CA = Authority()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, CA.issue("x"), CA.pem)


def test_each_port_is_given_what_is_new_once(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[Any] = []

    def made(first: Any, renewed: Any, **how: Any) -> None:
        assert isinstance(first, grpc.ServerCertificateConfiguration)
        assert how == {"require_client_authentication": True}
        ports.append(renewed)

    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", made)
    certificates = Certificates(files.tls())
    for_server(certificates)
    for_server(certificates)

    assert [renewed() for renewed in ports] == [None, None]

    files.put(CA.issue("y"))
    found = [renewed() for renewed in ports]
    assert [isinstance(one, grpc.ServerCertificateConfiguration) for one in found] == [True, True]
    assert [renewed() for renewed in ports] == [None, None]


def test_channels_share_credentials_until_the_files_change(files: Files) -> None:
    current = for_client(Certificates(files.tls()))

    first = current()
    assert current() is first

    files.put(CA.issue("y"))
    assert current() is not first
