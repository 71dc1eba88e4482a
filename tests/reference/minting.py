"""Mints keys, key sets and tokens, good ones and every kind of bad one."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt import PyJWS
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from reference.config.auth import Auth

NOW = 1_800_000_000.0
"""Seconds from the epoch at which the clocks of tests stand."""

ISSUER, AUDIENCE = "https://issuer.test", "blackhole"


@dataclass
class Key:
    """A private key with an ID."""

    kid: str
    algorithm: str = "EdDSA"
    private: Any = None

    def __post_init__(self) -> None:
        if self.private is None:
            self.private = (
                ed25519.Ed25519PrivateKey.generate()
                if self.algorithm == "EdDSA"
                else ec.generate_private_key(ec.SECP256R1())
            )

    def jwk(self, **more: Any) -> dict[str, Any]:
        """Return the public key as a member of a key set."""
        kind = OKPAlgorithm if self.algorithm == "EdDSA" else ECAlgorithm
        public: dict[str, Any] = kind.to_jwk(self.private.public_key(), as_dict=True)
        return public | {"kid": self.kid} | more

    def sign(self, payload: bytes, **header: Any) -> str:
        """Return a token; a member of the header that is None is left out."""
        return sign(self, payload, **header)

    def token(self, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """Return a token with usual claims but for `changes`; None leaves a claim out."""
        return self.sign(json.dumps(claims(**changes)).encode(), **(header or {}))


def sign(key: Key, payload: bytes, **header: Any) -> str:
    """Sign whatever it is; the header says what it is told, the algorithm is the key's."""
    found = {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"} | header
    text = json.dumps({name: value for name, value in found.items() if value is not None})
    signing_input = f"{encoded(text.encode())}.{encoded(payload)}".encode()
    algorithm = PyJWS().get_algorithm_by_name(key.algorithm)
    signature = algorithm.sign(signing_input, key.private)
    return f"{signing_input.decode()}.{encoded(signature)}"


def encoded(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    """Return usual claims but for `changes`; None leaves one out."""
    usual = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "role": "reader",
        "exp": NOW + 60,
    }
    return {name: value for name, value in (usual | changes).items() if value is not None}


def key_set(*keys: Key | dict[str, Any]) -> bytes:
    """Return a key set."""
    jwks = [each.jwk() if isinstance(each, Key) else each for each in keys]
    return json.dumps({"keys": jwks}).encode()


@dataclass
class Clock:
    """A clock that goes on when it is told to."""

    time: float = NOW

    def __call__(self) -> float:
        return self.time


@dataclass
class Keys:
    """The present key set, as a watched file gives it."""

    present: Any
    asked: int = field(default=0)

    def __call__(self) -> Any:
        self.asked += 1
        return self.present


def settings(jwks_file: Path = Path("unused"), **changes: Any) -> Auth:
    """Return settings that usual tokens fit."""
    usual: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks_file": jwks_file,
        "roles": {"reader": ("*",)},
        "leeway": 0.0,
        "reload_interval": 60.0,
    }
    return Auth(**(usual | changes))
