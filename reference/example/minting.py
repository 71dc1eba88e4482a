"""Certificates, keys and tokens of the example: an authority and an issuer of one node."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from jwt.algorithms import OKPAlgorithm

ISSUER = "blackhole-example"
AUDIENCE = "blackhole"
KEY_ID = "example"

LIFE = timedelta(days=30)
"""Of what is minted; each start of the example mints anew."""

EARLIER = timedelta(minutes=5)
"""Certificates begin so long ago: clocks differ."""

HOST = "localhost"


def mint_certificates(directory: Path, *names: str) -> None:
    """Write `ca.pem`, and a certificate `NAME.pem` with its key `NAME.key` for each name.

    All are good for both sides of a connection to this host. The authority's key is kept nowhere.
    """
    authority_key = generate_private_key(SECP256R1())
    authority = _signed("example authority", authority_key, authority_key, ca=True)
    _write(directory / "ca.pem", authority)
    for name in names:
        key = generate_private_key(SECP256R1())
        _write(directory / f"{name}.pem", _signed(name, key, authority_key, ca=False))
        _write(directory / f"{name}.key", _private(key))


def mint_issuer(directory: Path) -> None:
    """Write `issuer.key`, by which tokens are signed, and `jwks.json`, by which they are known."""
    key = Ed25519PrivateKey.generate()
    public = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    keys = {"keys": [{**public, "kid": KEY_ID, "alg": "EdDSA", "use": "sig"}]}
    _write(directory / "issuer.key", _private(key))
    _write(directory / "jwks.json", json.dumps(keys).encode())


def token(directory: Path, subject: str, role: str) -> str:
    """Return a token for somebody.

    Args:
        directory: where the issuer's key is.
        subject: who calls: a DID for uploads to storage.
        role: what he may do.
    """
    key = load_pem_private_key((directory / "issuer.key").read_bytes(), None)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "role": role,
        "exp": int(time.time() + LIFE.total_seconds()),
    }
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": KEY_ID})  # type: ignore[arg-type] # it is an Ed25519 key


def write_token(directory: Path, name: str, subject: str, role: str) -> None:
    """Write a token to `NAME.token`."""
    _write(directory / f"{name}.token", token(directory, subject, role).encode())


def _signed(name: str, key: Any, authority_key: Any, *, ca: bool) -> bytes:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named("example authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    )
    return builder.sign(authority_key, SHA256()).public_bytes(Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _private(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def _write(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, from one moment to the next."""
    draft = path.with_name(f".{path.name}")
    draft.touch(0o600)
    draft.write_bytes(content)
    draft.replace(path)
