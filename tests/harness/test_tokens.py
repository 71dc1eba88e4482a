"""Tokens of the suite: right ones, and forgeries that differ from them in one thing."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from conformance.harness.forgeries import CONTROLS, FORGERIES
from conformance.harness.security import shared_issuer
from conformance.harness.tokens import AUDIENCE, ISSUER, Issuer, Key, bearer, encoded, signed

NOW = 2_000_000_000.0


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a token is random or a time, and so nothing differs but what is meant to."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(secrets, "token_hex", lambda _: "00")


@pytest.fixture
def issuer() -> Issuer:
    """Who issues them, with a key of each kind."""
    return shared_issuer()


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _token(entries: Any) -> str:
    ((name, value),) = entries
    assert name == "authorization"
    return str(value).rpartition(" ")[2]


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_a_right_token_is_right_for_another_library(
    monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    monkeypatch.undo()
    issuer = Issuer(Key(algorithm))
    (jwk,) = jwt.PyJWKSet.from_json(issuer.key_set).keys

    claims = jwt.decode(
        issuer.token("ada", "reader"),
        jwk,
        algorithms=[algorithm],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]},
    )

    assert (claims["sub"], claims["role"]) == ("ada", "reader")
    assert jwt.get_unverified_header(issuer.token()) == {
        "alg": algorithm,
        "kid": issuer.keys[0].kid,
        "typ": "JWT",
    }


def test_a_key_that_is_not_named_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert Key().kid != Key().kid
    assert "private" not in repr(Key())
    assert repr(Issuer(Key(kid="a"))) == "Issuer(['a'])"


def test_claims_and_headers_can_be_left_out(issuer: Issuer) -> None:
    token = issuer.token(role=None, exp=None)

    claims = json.loads(_decoded(token.split(".")[1]))
    assert set(claims) == {"iss", "aud", "sub", "iat", "jti"}
    assert issuer.header(kid=None) == {"alg": "EdDSA", "typ": "JWT"}


def test_a_part_may_be_any_bytes(issuer: Issuer) -> None:
    token = signed(b"\xff", b"[]", issuer.keys[0])

    assert [_decoded(part) for part in token.split(".")[:2]] == [b"\xff", b"[]"]
    assert "=" not in encoded(b"a")


def test_bearers_bring_what_they_are_given() -> None:
    assert bearer() == []
    assert bearer("a", "b") == [("authorization", "Bearer a"), ("authorization", "Bearer b")]


@pytest.mark.parametrize("case", CONTROLS)
def test_a_control_is_right_for_another_library(issuer: Issuer, case: str) -> None:
    token = _token(CONTROLS[case](issuer))
    kid = jwt.get_unverified_header(token)["kid"]
    jwk = jwt.PyJWKSet.from_json(issuer.key_set)[kid]

    claims = jwt.decode(token, jwk, audience=AUDIENCE, issuer=ISSUER, options={"verify_iat": False})

    assert claims["sub"] == "suite"


def _verifies(key: Key, token: str) -> bool:
    body, _, signature = token.rpartition(".")
    algorithm: Any = OKPAlgorithm() if key.algorithm == "EdDSA" else ECAlgorithm(ECAlgorithm.SHA256)
    public = key.private.public_key()
    return bool(algorithm.verify(body.encode(), public, _decoded(signature)))


def _members(name: str, right: str, other: str) -> Iterator[str]:
    try:
        ours, theirs = json.loads(_decoded(right)), json.loads(_decoded(other))
    except ValueError:
        yield name
        return
    if not isinstance(theirs, dict):
        yield name
        return
    yield from (f"{name}.{key}" for key in ours | theirs if ours.get(key) != theirs.get(key))


def _differences(issuer: Issuer, entries: Any) -> set[str]:
    """Return in what a forgery differs from a right token of the same moment."""
    right = issuer.token()
    if len(entries) != 1:
        assert all(_differences(issuer, [each]) <= {"claims.sub"} for each in entries)
        return {"entries"}
    scheme, _, token = str(entries[0][1]).rpartition(" ")
    if scheme != "Bearer":
        return {"scheme"} | (set() if token == right else {"token"})
    ours, theirs = right.split("."), token.split(".")
    if len(theirs) != 3:
        return {"parts"}
    found = {*_members("header", ours[0], theirs[0]), *_members("claims", ours[1], theirs[1])}
    return found if _verifies(issuer.keys[0], token) else found | {"signature"}


DIFFERENCES = {
    "no-jws": {"parts"},
    "empty": {"parts"},
    "two-parts": {"parts"},
    "four-parts": {"parts"},
    "not-base64url": {"header", "signature"},
    "not-utf-8": {"claims"},
    "header-no-object": {"header"},
    "claims-no-object": {"claims"},
    "signature-of-a-stranger": {"signature"},
    "signature-missing": {"signature"},
    "signature-cut-short": {"signature"},
    "signature-of-other-claims": {"claims.sub", "signature"},
    "alg-none": {"header.alg", "signature"},
    "alg-hs256-with-the-public-key": {"header.alg", "header.kid", "signature"},
    "alg-of-the-other-key": {"header.alg"},
    "kid-missing": {"header.kid"},
    "kid-unknown": {"header.kid"},
    "kid-no-string": {"header.kid"},
    "crit": {"header.crit"},
    "jwk-embedded": {"header.jwk", "header.kid", "signature"},
    "expired": {"claims.exp"},
    "exp-missing": {"claims.exp"},
    "exp-no-number": {"claims.exp"},
    "not-yet-valid": {"claims.nbf"},
    "issuer-another": {"claims.iss"},
    "issuer-missing": {"claims.iss"},
    "audience-another": {"claims.aud"},
    "audience-missing": {"claims.aud"},
    "subject-missing": {"claims.sub"},
    "subject-empty": {"claims.sub"},
    "subject-no-string": {"claims.sub"},
    "role-no-string": {"claims.role"},
    "scheme-another": {"scheme"},
    "scheme-missing": {"scheme"},
    "two-tokens": {"entries"},
    "the-same-twice": {"entries"},
}
"""In what each forgery differs. A signature that is another goes with what was not signed."""


def test_every_forgery_is_looked_at() -> None:
    assert set(DIFFERENCES) <= set(FORGERIES)
    assert DIFFERENCES.keys() == FORGERIES.keys()


@pytest.mark.parametrize("case", DIFFERENCES)
def test_a_forgery_differs_in_its_one_thing(issuer: Issuer, case: str) -> None:
    assert _differences(issuer, CONTROLS["right"](issuer)) == set()
    assert _differences(issuer, FORGERIES[case](issuer)) == DIFFERENCES[case]


@pytest.mark.parametrize("key", [0, 1])
def test_an_hmac_of_the_public_key_is_what_a_confused_verifier_computes(
    issuer: Issuer, key: int
) -> None:
    chosen = issuer.keys[key]
    forged: Any = FORGERIES["alg-hs256-with-the-public-key"]
    body, _, signature = _token(forged(issuer, key)).rpartition(".")

    mac = hmac.new(chosen.public_bytes, body.encode(), hashlib.sha256).digest()
    assert _decoded(signature) == mac
    assert json.loads(_decoded(body.split(".")[0]))["kid"] == chosen.kid


def test_a_key_that_comes_along_signed_its_token(issuer: Issuer) -> None:
    token = _token(FORGERIES["jwk-embedded"](issuer))
    jwk = jwt.PyJWK(jwt.get_unverified_header(token)["jwk"])

    options: Any = {"verify_iat": False}
    assert jwt.decode(token, jwk, audience=AUDIENCE, options=options)["sub"] == "suite"
    assert jwk.key_id == "brought-along"
    assert "brought-along" not in issuer.key_set
