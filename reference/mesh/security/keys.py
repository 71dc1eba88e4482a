"""The keys that tokens are signed with: a JSON Web Key Set (RFC 7517).

Imported only where tokens are asked for: what reads keys takes as long to import as a
quarter of a start.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jwt import PyJWK, PyJWTError

from .files import UnusableError

KINDS = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256"}
"""Algorithm by type and curve; keys of other kinds are ignored."""

NUMBERS = {"OKP": ("x",), "EC": ("x", "y")}
"""Members that make up the public key."""

KeySet = Mapping[str, PyJWK]
"""By key ID."""


def parse(content: bytes) -> KeySet:
    """Return the usable keys of a set.

    Raises:
        UnusableError: it is no key set, one of its keys is broken, none is usable, or two have
            the same ID.
    """
    found: dict[str, PyJWK] = {}
    for jwk in usable(content):
        kid = jwk["kid"]
        if kid in found:
            raise UnusableError(f"has two keys with the ID {kid!r}")
        found[kid] = public_key(jwk)
    if not found:
        raise UnusableError("has no Ed25519 or P-256 key with an ID")
    return found


def usable(content: bytes) -> Iterator[Mapping[str, Any]]:
    """Yield the keys that have an ID and a kind, and are not for something else.

    Raises:
        UnusableError: it is no key set.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableError("is not JSON") from error
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise UnusableError("is no JSON Web Key Set")
    for jwk in keys:
        if isinstance(jwk, dict) and _is_usable(jwk):
            yield jwk


def public_key(jwk: Mapping[str, Any]) -> PyJWK:
    """Return the public part of a key; its type decides the algorithm (AUTH-2).

    Raises:
        UnusableError: it is broken.
    """
    kind = jwk["kty"]
    numbers = {name: jwk.get(name) for name in NUMBERS[kind]}
    try:
        if not all(isinstance(number, str) for number in numbers.values()):
            raise UnusableError(f"the key {jwk['kid']!r} lacks a number")
        return PyJWK({"kty": kind, "crv": jwk["crv"], **numbers}, KINDS[kind, jwk["crv"]])
    except (PyJWTError, ValueError) as error:
        # The cause may hold what it was told of the key.
        raise UnusableError(f"the key {jwk['kid']!r} is broken") from error


def _is_usable(jwk: Mapping[str, Any]) -> bool:
    kind, kid = (jwk.get("kty"), jwk.get("crv")), jwk.get("kid")
    if not all(isinstance(part, str) for part in kind) or kind not in KINDS:
        return False
    operations = jwk.get("key_ops", ["verify"])
    return (
        isinstance(kid, str)
        and kid != ""
        and jwk.get("use", "sig") == "sig"
        and jwk.get("alg", KINDS[kind]) == KINDS[kind]
        and isinstance(operations, list)
        and "verify" in operations
    )
