"""Tokens as an issuer makes them, and as somebody does who must not get in.

A token is a JWS in compact form (RFC 7515, 7519). The suite signs by itself, part by part, because
most of what it sends no library would make: each wrong token differs from a right one in one thing.
"""

import base64
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .redaction import keep_token

ISSUER = "https://issuer.suite.test"
AUDIENCE = "blackhole-suite"

LIFE = 3600.0
"""Seconds that a token lives unless a test wants another end: longer than any run."""

_COORDINATE = 32
"""Bytes of a coordinate, and of each half of a signature, of ES256 (RFC 7518, 3.4)."""

Part = Mapping[str, Any] | bytes
"""Header or claims: as JSON, or the bytes in their place."""


@dataclass(frozen=True)
class Key:
    """A key that signs tokens: EdDSA (Ed25519) or ES256."""

    algorithm: str = "EdDSA"
    kid: str = field(default_factory=lambda: secrets.token_hex(4))
    private: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Make the private half, unless one was given."""
        if self.private is None:
            made: Any = (
                ed25519.Ed25519PrivateKey.generate()
                if self.algorithm == "EdDSA"
                else ec.generate_private_key(ec.SECP256R1())
            )
            object.__setattr__(self, "private", made)

    @cached_property
    def jwk(self) -> dict[str, str]:
        """The public half as a JSON Web Key (RFC 7517, 8037)."""
        told = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        if self.algorithm == "EdDSA":
            return told | {"kty": "OKP", "crv": "Ed25519", "x": encoded(self.public_bytes)}
        numbers = self.private.public_key().public_numbers()
        x, y = (number.to_bytes(_COORDINATE, "big") for number in (numbers.x, numbers.y))
        return told | {"kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y)}

    @property
    def public_bytes(self) -> bytes:
        """The public half, raw for EdDSA, as PEM for ES256.

        A confused verifier takes it for the secret of an HMAC.
        """
        public = self.private.public_key()
        if self.algorithm == "EdDSA":
            return bytes(public.public_bytes_raw())
        return bytes(
            public.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def sign(self, data: bytes) -> bytes:
        """Return the signature as JWS has it."""
        if self.algorithm == "EdDSA":
            return bytes(self.private.sign(data))
        halves = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return b"".join(half.to_bytes(_COORDINATE, "big") for half in halves)


class Issuer:
    """Somebody who issues tokens, with a set of public keys that services trust."""

    def __init__(self, *keys: Key) -> None:
        """Begin with keys, of which the first signs; without any, make one."""
        self.keys = list(keys or (Key(),))

    def __repr__(self) -> str:
        """Show the keys."""
        return f"Issuer({[key.kid for key in self.keys]})"

    @property
    def key_set(self) -> str:
        """The public keys as a JSON Web Key Set."""
        return json.dumps({"keys": [key.jwk for key in self.keys]})

    def claims(self, subject: Any = "suite", role: Any = "admin", **other: Any) -> dict[str, Any]:
        """Return the claims of a right token; one that is given as None is left out."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "role": role,
            "iat": now,
            "exp": now + int(LIFE),
            "jti": secrets.token_hex(8),
        } | other
        return {name: value for name, value in claims.items() if value is not None}

    def header(self, key: Key | None = None, **other: Any) -> dict[str, Any]:
        """Return the header of a right token; one that is given as None is left out."""
        key = key or self.keys[0]
        header = {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"} | other
        return {name: value for name, value in header.items() if value is not None}

    def token(self, subject: str = "suite", role: str | None = "admin", **other: Any) -> str:
        """Return a right token, but for claims that are given otherwise; see `claims`."""
        return signed(self.header(), self.claims(subject, role, **other), self.keys[0])


def signed(header: Part, claims: Part, key: Key) -> str:
    """Return a token made of these parts."""
    body = f"{encoded(header)}.{encoded(claims)}"
    token = f"{body}.{encoded(key.sign(body.encode()))}"
    keep_token(token)
    return token


def encoded(part: Part) -> str:
    """Return a part as a token holds it: base64url without padding."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def bearer(*tokens: str) -> Sequence[tuple[str, str]]:
    """Return the metadata that carries a token, or several."""
    return [("authorization", f"Bearer {token}") for token in tokens]
