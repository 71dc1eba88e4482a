"""Tokens: every way to be wrong beside the control that differs in one thing, and the cache."""

import json
import math
from typing import Any

import pytest
from jwt import PyJWS

from reference.mesh.calls import SEVERAL
from reference.mesh.security import keys
from reference.mesh.security.claims import Claims
from reference.mesh.security.refusals import InvalidTokenError, MissingTokenError
from reference.mesh.security.tokens import LONGEST_TOKEN, Verifier

from .minting import AUDIENCE, ISSUER, NOW, Clock, Key, Keys, claims, encoded, key_set, settings

ED, EC = Key("ed"), Key("ec", "ES256")
STRANGER = Key("ed")
"""Signs by a key of its own, under a name that is known."""

CONTROL = Claims("alice", "reader", NOW + 60)


def _verifier(**changes: Any) -> Verifier:
    return Verifier(settings(**changes), Keys(keys.parse(key_set(ED, EC))), Clock())


VERIFIER = _verifier()


def _verify(verifier: Verifier, token: str) -> Claims:
    return verifier.authenticate(f"Bearer {token}")


def _reason(token: str, verifier: Verifier = VERIFIER) -> str:
    """Return why a token is refused; what the caller reads is always the same."""
    with pytest.raises(InvalidTokenError, match=r"^invalid token$") as caught:
        _verify(verifier, token)
    for part in token.split("."):
        assert len(part) < 2 or part not in caught.value.reason
    assert caught.value.__cause__ is None
    return caught.value.reason


@pytest.mark.parametrize("key", [ED, EC], ids=["EdDSA", "ES256"])
def test_a_good_token_says_who_calls(key: Key) -> None:
    assert _verify(VERIFIER, key.token()) == CONTROL


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"aud": ["other", AUDIENCE]}, CONTROL),
        ({"role": None}, Claims("alice", None, NOW + 60)),
        ({"role": ""}, Claims("alice", "", NOW + 60)),
        ({"sub": "x" * 256}, Claims("x" * 256, "reader", NOW + 60)),
        ({"sub": "é\n"}, Claims("é\n", "reader", NOW + 60)),
        ({"nbf": NOW}, CONTROL),
        ({"nbf": int(NOW)}, CONTROL),
        ({"exp": NOW + 0.5}, Claims("alice", "reader", NOW + 0.5)),
        ({"iat": NOW + 9, "jti": 1, "more": {"a": []}}, CONTROL),
    ],
)
def test_what_a_token_may_say(changes: dict[str, Any], found: Claims) -> None:
    assert _verify(VERIFIER, ED.token(**changes)) == found


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": None}, "another issuer"),
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"iss": [ISSUER]}, "another issuer"),
        ({"aud": None}, "another audience"),
        ({"aud": "other"}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": {AUDIENCE: 1}}, "another audience"),
        ({"aud": AUDIENCE[:-1]}, "another audience"),
        ({"exp": None}, "no date in exp"),
        ({"exp": NOW}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": -1}, "no date in exp"),
        ({"exp": str(NOW + 60)}, "no date in exp"),
        ({"exp": True}, "no date in exp"),
        ({"exp": [NOW + 60]}, "no date in exp"),
        ({"exp": 10**400}, "no date in exp"),
        ({"exp": 1e300}, "no date in exp"),
        ({"exp": math.inf}, "claims that are not JSON"),
        ({"exp": math.nan}, "claims that are not JSON"),
        ({"nbf": NOW + 1}, "not yet valid"),
        ({"nbf": "0"}, "no date in nbf"),
        ({"sub": None}, "no subject of 1 to 256 characters"),
        ({"sub": ""}, "no subject of 1 to 256 characters"),
        ({"sub": "x" * 257}, "no subject of 1 to 256 characters"),
        ({"sub": 1}, "no subject of 1 to 256 characters"),
        ({"sub": "\ud800"}, "a subject that is no text"),
        ({"role": ["reader"]}, "a role that is no text"),
        ({"role": 1}, "a role that is no text"),
        ({f"c{number}": number for number in range(10_000)}, "too long"),
    ],
)
def test_what_a_token_must_not_say(changes: dict[str, Any], reason: str) -> None:
    assert _reason(ED.token(**changes)) == reason


def test_a_role_that_is_null_is_no_text() -> None:
    payload = json.dumps(claims() | {"role": None}).encode()

    assert _reason(ED.sign(payload)) == "a role that is no text"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none"}, "an algorithm that is not its key's"),
        ({"alg": "ES256"}, "an algorithm that is not its key's"),
        ({"alg": "HS256"}, "an algorithm that is not its key's"),
        ({"alg": ["EdDSA"]}, "an algorithm that is not its key's"),
        ({"alg": None}, "an algorithm that is not its key's"),
        ({"kid": None}, "no key ID"),
        ({"kid": 1}, "malformed"),
        ({"kid": ["ed"]}, "malformed"),
        ({"kid": "other"}, "an unknown key"),
        ({"kid": "../ed"}, "an unknown key"),
        ({"kid": "ec"}, "an algorithm that is not its key's"),
        ({"crit": ["exp"], "exp": NOW}, "malformed"),
        ({"crit": ["b64"], "b64": True}, "a critical header"),
        ({"crit": []}, "malformed"),
        ({"b64": False}, "malformed"),
    ],
)
def test_what_a_header_must_not_say(header: dict[str, Any], reason: str) -> None:
    assert _reason(ED.token(header)) == reason


def _unsigned() -> str:
    head, body, _ = ED.token({"alg": "none"}).split(".")
    return f"{head}.{body}."


def _nested() -> str:
    return ED.sign(ED.token().encode(), cty="JWT")


def _symmetric() -> str:
    """Signed by HMAC, with the public key as its secret."""
    secret = str(ED.jwk()["x"])
    body = json.dumps(claims()).encode()
    return PyJWS().encode(body, secret, "HS256", {"kid": "ed"})


def _resigned(token: str, position: int, part: bytes) -> str:
    parts = token.split(".")
    parts[position] = encoded(part)
    return ".".join(parts)


@pytest.mark.filterwarnings("ignore:The HMAC key")
@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "no JWS in compact form"),
        ("x", "no JWS in compact form"),
        ("..", "no JWS in compact form"),
        (_unsigned(), "no JWS in compact form"),
        (ED.token() + "=", "no JWS in compact form"),
        (ED.token() + "\n", "no JWS in compact form"),
        (" " + ED.token(), "no JWS in compact form"),
        (ED.token() + ".x.y", "no JWS in compact form"),
        (ED.token() + ", Bearer " + ED.token(), "no JWS in compact form"),
        ("é.é.é", "no JWS in compact form"),
        ("\udcff", "no JWS in compact form"),
        ("x" * (LONGEST_TOKEN + 1), "too long"),
        ("x.y.z", "malformed"),
        (f"{encoded(b'[]')}.{encoded(b'{}')}.xxxx", "malformed"),
        (f"{encoded(b'[' * 5000)}.xxxx.xxxx", "malformed"),
        (STRANGER.token(), "a wrong signature"),
        (_resigned(ED.token(), 1, json.dumps(claims(role="admin")).encode()), "a wrong signature"),
        (_resigned(ED.token(), 2, b"\0" * 64), "a wrong signature"),
        (_resigned(ED.token(), 2, b"\0"), "a wrong signature"),
        (_resigned(EC.token(), 2, b"\0" * 64), "a wrong signature"),
        (_resigned(EC.token(), 2, b"\0"), "a wrong signature"),
        (_symmetric(), "an algorithm that is not its key's"),
        (_nested(), "claims that are not JSON"),
        (ED.sign(b"[]"), "claims that are no object"),
        (ED.sign(b"null"), "claims that are no object"),
        (ED.sign(b"\xff"), "claims that are not JSON"),
        (ED.sign(b"[" * 5000), "claims that are not JSON"),
        (ED.sign(b'{"exp": ' + b"1" * 5000 + b"}"), "claims that are not JSON"),
        (ED.sign(b'{"exp": 1e999, "iss": "x"}'), "another issuer"),
    ],
)
def test_what_is_no_token(token: str, reason: str) -> None:
    assert _reason(token) == reason


def test_an_exponent_that_overflows_is_no_date() -> None:
    payload = json.dumps(claims(exp=7)).replace(": 7", ": 1e999").encode()

    assert _reason(ED.sign(payload)) == "no date in exp"


def test_leeway_is_for_both_ends() -> None:
    verifier = _verifier(leeway=5.0)

    assert _verify(verifier, ED.token(exp=NOW - 4)).expires == NOW + 1
    assert _verify(verifier, ED.token(nbf=NOW + 5)) == Claims("alice", "reader", NOW + 65)
    assert _reason(ED.token(exp=NOW - 5), verifier) == "expired"
    assert _reason(ED.token(nbf=NOW + 6), verifier) == "not yet valid"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_has_any_case(scheme: str) -> None:
    assert VERIFIER.authenticate(f"{scheme} {ED.token()}") == CONTROL


def test_no_entry_is_a_missing_token() -> None:
    with pytest.raises(MissingTokenError, match=r"^missing token$"):
        VERIFIER.authenticate(None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (SEVERAL, "more than one authorization entry"),
        ("", "another scheme than Bearer"),
        ("Bearer", "another scheme than Bearer"),
        ("Basic eDp5", "another scheme than Bearer"),
        (ED.token(), "another scheme than Bearer"),
        (b"Bearer x", "another scheme than Bearer"),
        ("Bearer ", "no JWS in compact form"),
        (f"Bearer  {ED.token()}", "no JWS in compact form"),
        (f"Bearer\t{ED.token()}", "another scheme than Bearer"),
    ],
)
def test_anything_else_is_invalid(value: str | bytes, reason: str) -> None:
    with pytest.raises(InvalidTokenError, match=r"^invalid token$") as caught:
        VERIFIER.authenticate(value)

    assert caught.value.reason == reason


class Counted(Verifier):
    """Counts how often a signature is verified."""

    verified = 0

    def _payload(self, *arguments: Any) -> bytes:
        self.verified += 1
        return super()._payload(*arguments)


def _counted(**more: Any) -> tuple[Counted, Clock, Keys]:
    clock, present = Clock(), Keys(keys.parse(key_set(ED, EC)))
    return Counted(settings(), present, clock, **more), clock, present


def test_a_token_is_verified_once() -> None:
    verifier, clock, _ = _counted()
    token = ED.token()

    found = [_verify(verifier, token) for _ in range(3)]
    clock.time += 59.999
    found.append(_verify(verifier, token))

    assert (found, verifier.verified) == ([CONTROL] * 4, 1)


def test_a_known_token_is_known_no_longer_than_it_lives() -> None:
    verifier, clock, _ = _counted()
    token = ED.token()
    _verify(verifier, token)

    clock.time += 60

    assert _reason(token, verifier) == "expired"
    assert repr(verifier) == "Verifier(known=0, keys=2)"


def test_a_known_token_is_known_no_longer_than_the_key_set() -> None:
    verifier, _, present = _counted()
    ed, ec = ED.token(), EC.token()
    _verify(verifier, ed)
    _verify(verifier, ec)

    present.present = keys.parse(key_set(EC))

    assert _reason(ed, verifier) == "an unknown key"
    assert _verify(verifier, ec) == CONTROL
    assert verifier.verified == 4


def test_a_refused_token_is_not_known() -> None:
    verifier, _, _ = _counted()

    for _ in range(2):
        assert _reason(STRANGER.token(), verifier) == "a wrong signature"

    assert (verifier.verified, repr(verifier)) == (2, "Verifier(known=0, keys=2)")


def test_only_so_many_are_known_and_the_first_goes_first() -> None:
    verifier, _, _ = _counted(most=2)
    first, second, third = (ED.token(sub=f"s{number}") for number in range(3))

    for token in (first, second, third):
        _verify(verifier, token)
    _verify(verifier, second)

    assert (verifier.verified, repr(verifier)) == (3, "Verifier(known=2, keys=2)")
    _verify(verifier, first)
    assert verifier.verified == 4
