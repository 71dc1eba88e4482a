"""A public key infrastructure of the suite's own, minted in memory: nothing is committed.

An `Authority` issues what a test asks for, right or wrong in exactly one thing; `Credentials`
are what one side of a connection shows of itself, and whom it trusts.
"""

import datetime as dt
import ipaddress
import ssl
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .redaction import keep_key

SERVER_NAME = "localhost"
"""Name that every certificate of a server bears unless a test wants another."""

_DAY = dt.timedelta(days=1)
_BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)

SERVER_ONLY = (ExtendedKeyUsageOID.SERVER_AUTH,)
"""Extended key usage of a certificate that no client may use."""

EXPIRED = (-2 * _DAY, -_DAY)
"""From when to when, from now, a certificate is valid that no longer is."""

NOT_YET_VALID = (_DAY, 2 * _DAY)
"""The same of one that is not valid yet."""

VALID = (-_DAY, _DAY)
"""The same of one that is. A day before: clocks differ."""

_LASTING = (-7 * _DAY, 7 * _DAY)
"""The same of an authority: it is valid whenever one that it issued is."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, both as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def serial(self) -> int:
        """Serial number, which tells certificates apart."""
        return x509.load_pem_x509_certificate(self.certificate).serial_number

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write both below a directory, the key for its owner alone; return their paths."""
        paths = directory / f"{name}.pem", directory / f"{name}.key"
        for path, content, mode in zip(
            paths, (self.certificate, self.key), (0o644, 0o600), strict=True
        ):
            draft = path.with_suffix(f"{path.suffix}.new")
            draft.write_bytes(content)
            draft.chmod(mode)
            # From one moment to the next: a reader sees the old file or the new one.
            draft.replace(path)
        return paths


class Authority:
    """A certificate authority."""

    def __init__(self, name: str = "suite CA") -> None:
        """Mint its key and its own certificate."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._certificate = (
            _begun(self._name, self._name, self._key.public_key(), _LASTING)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @cached_property
    def certificate(self) -> bytes:
        """Its certificate as PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        name: str,
        *,
        hosts: Sequence[str] = (SERVER_NAME, "127.0.0.1"),
        valid: tuple[dt.timedelta, dt.timedelta] = VALID,
        usage: Sequence[Any] = _BOTH,
    ) -> Certificate:
        """Return a certificate with a key of its own.

        Args:
            name: common name of the subject.
            hosts: names and addresses that it is for.
            valid: from when to when, from now.
            usage: extended key usages.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        begun = _begun(_named(name), self._name, key.public_key(), valid).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
            critical=False,
        )
        return _pem(_leaf(begun, hosts, usage).sign(self._key, hashes.SHA256()), key)


def self_signed(name: str, *, hosts: Sequence[str] = (SERVER_NAME, "127.0.0.1")) -> Certificate:
    """Return a certificate that no authority issued."""
    key = ec.generate_private_key(ec.SECP256R1())
    begun = _begun(_named(name), _named(name), key.public_key(), VALID)
    return _pem(_leaf(begun, hosts, _BOTH).sign(key, hashes.SHA256()), key)


@dataclass(frozen=True)
class Credentials:
    """What one side of a connection shows of itself, and whom it trusts."""

    own: Certificate | None
    """None: it shows nothing."""
    trusted: bytes
    """Certificate of the authority that the other side's must be from, as PEM."""
    server_name: str = SERVER_NAME
    """Name that the server's certificate must bear; only a client's is asked for."""

    def __repr__(self) -> str:
        """Show as little as tells them apart."""
        return f"Credentials({'none' if self.own is None else hex(self.own.serial)[:10]})"

    def for_grpc(self) -> grpc.ChannelCredentials:
        """Return them as a client of gRPC takes them."""
        own = self.own
        if own is None:
            return grpc.ssl_channel_credentials(self.trusted)
        return grpc.ssl_channel_credentials(self.trusted, own.key, own.certificate)

    def options(self) -> tuple[tuple[str, str], ...]:
        """Return what a channel needs besides: it is dialled by address, not by name."""
        return (("grpc.ssl_target_name_override", self.server_name),)

    def context(
        self, protocol: int, *, alpn: Sequence[str] = ("h2",), at_most: ssl.TLSVersion | None = None
    ) -> ssl.SSLContext:
        """Return them as the standard library takes them.

        Args:
            protocol: `ssl.PROTOCOL_TLS_CLIENT` or `ssl.PROTOCOL_TLS_SERVER`; a server asks for
                the client's certificate and verifies it.
            alpn: protocols that are offered.
            at_most: the latest version that is offered; None: as late as can be.
        """
        context = ssl.SSLContext(protocol)
        context.load_verify_locations(cadata=self.trusted.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        if self.own is not None:
            # The standard library reads certificates from files alone.
            with tempfile.TemporaryDirectory() as directory:
                context.load_cert_chain(*self.own.write(Path(directory), "own"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if at_most is not None:
            # Ancient versions are beneath OpenSSL's usual level of security.
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                # That they are deprecated is what the suite is about.
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
                context.maximum_version = at_most
        return context


class Pki:
    """What a run of the suite trusts and shows: one authority, a client and a server."""

    def __init__(self) -> None:
        """Mint it."""
        self.authority = Authority()
        self.client = Credentials(self.authority.issue("suite caller"), self.authority.certificate)

    def server(self, **how: Any) -> Credentials:
        """Return a server's credentials, right unless `how` (as of `Authority.issue`) differs."""
        return Credentials(self.authority.issue("suite server", **how), self.authority.certificate)

    def showing(self, own: Certificate | None) -> Credentials:
        """Return a client's credentials that trust this authority and show another certificate."""
        return Credentials(own, self.authority.certificate)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    valid: tuple[dt.timedelta, dt.timedelta],
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid[0])
        .not_valid_after(now + valid[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _leaf(
    begun: x509.CertificateBuilder, hosts: Sequence[str], usage: Sequence[Any]
) -> x509.CertificateBuilder:
    return (
        begun.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False
        )
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    )


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Certificate:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    keep_key(private)
    return Certificate(certificate.public_bytes(serialization.Encoding.PEM), private)
