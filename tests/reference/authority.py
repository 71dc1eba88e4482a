"""Certificates that are minted for a test, and the three files of TLS that hold them."""

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from reference.config.tls import TLS

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


class Authority:
    """A CA of its own; its certificate is good from yesterday to tomorrow unless told otherwise."""

    def __init__(self, begin: timedelta = -DAY, end: timedelta = DAY) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("authority")
        basic = x509.BasicConstraints(ca=True, path_length=None)
        self.pem = self._signed(self._name, self._key, basic, begin, end)

    def issue(
        self, *names: str, begin: timedelta = -DAY, end: timedelta = DAY, key: Any = None
    ) -> Pair:
        """Issue a certificate for names and addresses, good from `begin` to `end` from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names or ("x",)])
        certificate = self._signed(_named("leaf"), key, alternatives, begin, end)
        return Pair(certificate, private(key))

    def _signed(
        self,
        name: x509.Name,
        key: Any,
        extension: x509.ExtensionType,
        begin: timedelta,
        end: timedelta,
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begin)
            .not_valid_after(now + end)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


class Files:
    """A directory with the three files in it."""

    def __init__(self, directory: Path, pair: Pair, authorities: bytes) -> None:
        self.certificate = directory / "cert.pem"
        self.key = directory / "key.pem"
        self.authorities = directory / "ca.pem"
        self.put(pair)
        self.authorities.write_bytes(authorities)

    def put(self, pair: Pair) -> None:
        """Write another certificate with its key."""
        self.certificate.write_bytes(pair.certificate)
        self.key.write_bytes(pair.key)
        self.key.chmod(0o600)

    def tls(self, **changed: Any) -> TLS:
        """Return settings that look at the files for each connection."""
        usual: dict[str, Any] = {
            "cert_file": self.certificate,
            "key_file": self.key,
            "ca_file": self.authorities,
            "server_name": "",
            "reload_interval": 0.0,
            "handshake_timeout": 10.0,
        }
        return TLS(**(usual | changed))


def private(key: Any, encryption: Any = None) -> bytes:
    """Return a key in PEM."""
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return pem


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
