"""What a node needs to be reached from other hosts: a port, certificates, and settings for both."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .addresses import HOST, ReservedPort, TLSAddress
from .judging import did
from .pki import SERVER_NAME, Certificate, Credentials, Pki

Settings = Mapping[str, Any]


@cache
def suite_pki() -> Pki:
    """Return the public key infrastructure of this process, minted when it is first needed."""
    return Pki()


def tls_settings(directory: Path, own: Certificate, trusted: bytes) -> dict[str, Any]:
    """Write a certificate, its key and an authority below a directory; return `tls` for them."""
    directory.mkdir(mode=0o700, exist_ok=True)
    certificate, key = own.write(directory, "own")
    authority = directory / "ca.pem"
    authority.write_bytes(trusted)
    return {
        "cert_file": str(certificate),
        "key_file": str(key),
        "ca_file": str(authority),
        "server_name": SERVER_NAME,
    }


class Remote:
    """A port of a node's own, and the certificate of the service that listens there."""

    def __init__(self, directory: Path) -> None:
        """Reserve a port, and write certificates below `directory`."""
        self.directory = directory
        self.port = ReservedPort()
        self.server = suite_pki().server()
        assert self.server.own is not None, "a server shows a certificate"  # noqa: S101
        self._tls = tls_settings(directory, self.server.own, self.server.trusted)

    def __repr__(self) -> str:
        """Show the port."""
        return f"Remote({self.port.number})"

    def settings(self, name: str) -> dict[str, Any]:
        """Return the settings by which service `name` listens at the port too."""
        tcp = {"host": HOST, "port": self.port.number}
        return {"services": {name: {"tcp": tcp}}, "tls": self._tls}

    def address(self, credentials: Credentials | None = None) -> TLSAddress:
        """Return the port as the suite's caller reaches it, or somebody with other credentials."""
        return TLSAddress(self.port.number, credentials or suite_pki().client)

    @property
    def key_file(self) -> Path:
        """Where the service's key is."""
        return Path(self._tls["key_file"])

    def expose_key(self) -> None:
        """Let everybody read the service's key."""
        did("let everybody read the key file")
        self.key_file.chmod(0o644)

    def renew_certificate(self, own: Certificate) -> None:
        """Put another certificate in the place of the service's, which its key does not fit."""
        did("put a certificate in place that does not fit the key")
        Path(self._tls["cert_file"]).write_bytes(own.certificate)

    def renew(self, own: Certificate) -> None:
        """Put another certificate and key in the place of the service's."""
        did("put another certificate in place, and its key")
        own.write(self.directory, "own")

    def close(self) -> None:
        """Give the port back."""
        self.port.close()


@dataclass(frozen=True, slots=True)
class RemoteCaller:
    """What a driver needs to call ports: its certificate, and settings by which it shows it."""

    certificate: Certificate
    settings: Mapping[str, Any]


def remote_caller(directory: Path) -> RemoteCaller:
    """Issue a certificate for a driver, and write it below `directory`."""
    pki = suite_pki()
    own = pki.authority.issue("suite driver")
    return RemoteCaller(own, tls_settings(directory / "driver-tls", own, pki.authority.certificate))
