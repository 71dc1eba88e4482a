"""Key sets: which keys are usable, and every way in which a set is refused."""

import json
from typing import Any

import pytest

from reference.mesh.security.files import UnusableError
from reference.mesh.security.keys import parse

from .minting import Key, key_set

ED, EC = Key("ed"), Key("ec", "ES256")
RSA = {"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB"}


def test_the_type_of_a_key_decides_its_algorithm() -> None:
    found = parse(key_set(ED, EC))

    assert {kid: key.algorithm_name for kid, key in found.items()} == {"ed": "EdDSA", "ec": "ES256"}


@pytest.mark.parametrize(
    "other",
    [
        RSA,
        RSA | {"kid": "ed"},
        {"kty": "oct", "kid": "oct", "k": "c2VjcmV0"},
        {"kty": "OKP", "crv": "X25519", "kid": "x", "x": ED.jwk()["x"]},
        {"kty": "EC", "crv": "P-384", "kid": "x"},
        {"kty": ["OKP"], "crv": "Ed25519", "kid": "x"},
        {"kid": "x"},
        {"kty": "OKP", "crv": "Ed25519", "x": ED.jwk()["x"]},
        EC.jwk(kid=7),
        EC.jwk(kid=""),
        EC.jwk(use="enc"),
        EC.jwk(alg="ECDH-ES"),
        EC.jwk(key_ops=["sign"]),
        EC.jwk(key_ops="verify"),
        "text",
    ],
)
def test_other_keys_are_ignored(other: Any) -> None:
    assert list(parse(key_set(ED, other))) == ["ed"]


def test_what_says_that_it_is_for_this_is_usable() -> None:
    usable = EC.jwk(use="sig", alg="ES256", key_ops=["verify"], x5t="x")

    assert list(parse(key_set(usable))) == ["ec"]


def test_a_private_key_is_taken_for_its_public_part() -> None:
    (found,) = parse(key_set(ED.jwk(d="AAAA"))).values()

    assert type(found.key).__name__ == "Ed25519PublicKey"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 5000, "is not JSON"),
        (b"[]", "is no JSON Web Key Set"),
        (b"{}", "is no JSON Web Key Set"),
        (json.dumps({"keys": ED.jwk()}).encode(), "is no JSON Web Key Set"),
        (json.dumps(ED.jwk()).encode(), "is no JSON Web Key Set"),
        (key_set(), "has no Ed25519 or P-256 key with an ID"),
        (key_set(RSA), "has no Ed25519 or P-256 key with an ID"),
        (key_set(ED, Key("ed")), "has two keys with the ID 'ed'"),
        (key_set(ED, ED.jwk(kid="b", x="AA")), "the key 'b' is broken"),
        (key_set(ED, ED.jwk(kid="b", x="é")), "the key 'b' is broken"),
        (key_set(ED, ED.jwk(kid="b", x=1)), "the key 'b' lacks a number"),
        (key_set(ED, EC.jwk(y=EC.jwk()["x"])), "the key 'ec' is broken"),
        (key_set({"kty": "EC", "crv": "P-256", "kid": "b"}), "the key 'b' lacks a number"),
    ],
    # Keys are minted anew in each process: they name no test.
    ids=lambda value: value if isinstance(value, str) else "content",
)
def test_what_is_no_key_set_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(UnusableError) as caught:
        parse(content)

    assert str(caught.value) == told
