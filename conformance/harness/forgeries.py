"""Every way to be the wrong token: each differs from a right one in one thing (AUTH-2)."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .tokens import Issuer, Key, encoded, signed

Entries = Sequence[tuple[str, str]]
"""Metadata that a call brings."""

HOUR = 3600


def _bearing(*tokens: str, scheme: str = "Bearer") -> Entries:
    return [("authorization", f"{scheme} {token}") for token in tokens]


def _claiming(**claims: Any) -> Callable[[Issuer], Entries]:
    """Return a forgery whose claims differ; one that is given as None is left out."""
    return lambda issuer: _bearing(signed(issuer.header(), issuer.claims(**claims), issuer.keys[0]))


def _heading(**header: Any) -> Callable[[Issuer], Entries]:
    """Return a forgery whose header differs; one that is given as None is left out."""
    return lambda issuer: _bearing(signed(issuer.header(**header), issuer.claims(), issuer.keys[0]))


def _altered(alter: Callable[[str], str]) -> Callable[[Issuer], Entries]:
    """Return a forgery that is a right token, altered."""
    return lambda issuer: _bearing(alter(issuer.token()))


def _other_claims(token: str) -> str:
    """Put other claims below a signature."""
    header, claims, signature = token.split(".")
    raised = json.loads(_decoded(claims)) | {"sub": "somebody-else"}
    return f"{header}.{encoded(raised)}.{signature}"


def _stranger(issuer: Issuer) -> Entries:
    """Sign with a key of the right kind and ID that nobody trusts."""
    right = issuer.keys[0]
    return _bearing(signed(issuer.header(), issuer.claims(), Key(right.algorithm, right.kid)))


def _unsigned(issuer: Issuer) -> Entries:
    """Say that no signature is needed."""
    parts = encoded(issuer.header(alg="none")), encoded(issuer.claims())
    return _bearing(f"{parts[0]}.{parts[1]}.")


def _keyed_with_the_public_key(issuer: Issuer, key: int = 1) -> Entries:
    """Take a public key for the secret of an HMAC, as a confused verifier does."""
    chosen = issuer.keys[key]
    body = f"{encoded(issuer.header(chosen, alg='HS256'))}.{encoded(issuer.claims())}"
    mac = hmac.new(chosen.public_bytes, body.encode(), hashlib.sha256).digest()
    return _bearing(f"{body}.{encoded(mac)}")


def _other_kind(issuer: Issuer) -> Entries:
    """Sign with one key, and name the other's algorithm."""
    first, second = issuer.keys
    return _bearing(signed(issuer.header(first, alg=second.algorithm), issuer.claims(), first))


def _embedded(issuer: Issuer) -> Entries:
    """Bring the key along."""
    own = Key("EdDSA", "brought-along")
    return _bearing(signed(issuer.header(own, jwk=own.jwk), issuer.claims(), own))


def _not_utf_8(issuer: Issuer) -> Entries:
    claims = json.dumps(issuer.claims(subject="?")).encode().replace(b"?", b"\xff")
    return _bearing(signed(issuer.header(), claims, issuer.keys[0]))


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _ago(seconds: int) -> int:
    return int(time.time()) - seconds


FORGERIES: Mapping[str, Callable[[Issuer], Entries]] = {
    "no-jws": lambda _: _bearing("not-a-token"),
    "empty": lambda _: _bearing(""),
    "two-parts": _altered(lambda token: token.rpartition(".")[0]),
    "four-parts": _altered(lambda token: f"{token}.{token.rpartition('.')[2]}"),
    "not-base64url": _altered(lambda token: f"!{token[1:]}"),
    "not-utf-8": _not_utf_8,
    "header-no-object": lambda issuer: _bearing(signed(b"[]", issuer.claims(), issuer.keys[0])),
    "claims-no-object": lambda issuer: _bearing(signed(issuer.header(), b"[]", issuer.keys[0])),
    "signature-of-a-stranger": _stranger,
    "signature-missing": _altered(lambda token: token.rpartition(".")[0] + "."),
    "signature-cut-short": _altered(lambda token: token[:-8]),
    "signature-of-other-claims": _altered(_other_claims),
    "alg-none": _unsigned,
    "alg-hs256-with-the-public-key": _keyed_with_the_public_key,
    "alg-of-the-other-key": _other_kind,
    "kid-missing": _heading(kid=None),
    "kid-unknown": _heading(kid="no-such-key"),
    "kid-no-string": _heading(kid=["suite-ed25519"]),
    "crit": _heading(crit=["exp"]),
    "jwk-embedded": _embedded,
    "expired": _claiming(exp=_ago(2)),
    "exp-missing": _claiming(exp=None),
    "exp-no-number": _claiming(exp="tomorrow"),
    "not-yet-valid": _claiming(nbf=_ago(-24 * HOUR)),
    "issuer-another": _claiming(iss="https://elsewhere.test"),
    "issuer-missing": _claiming(iss=None),
    "audience-another": _claiming(aud="somebody-else"),
    "audience-missing": _claiming(aud=None),
    "subject-missing": _claiming(subject=None),
    "subject-empty": _claiming(subject=""),
    "subject-no-string": _claiming(subject=["ada"]),
    "role-no-string": _claiming(role=["admin"]),
    "scheme-another": lambda issuer: _bearing(issuer.token(), scheme="Basic"),
    "scheme-missing": lambda issuer: [("authorization", issuer.token())],
    "two-tokens": lambda issuer: _bearing(issuer.token(), issuer.token("bob")),
    "the-same-twice": lambda issuer: _bearing(*[issuer.token()] * 2),
}
"""Metadata that must not let anybody in, by what is wrong with it."""

CONTROLS: Mapping[str, Callable[[Issuer], Entries]] = {
    "right": lambda issuer: _bearing(issuer.token()),
    "audience-among-others": lambda issuer: _bearing(
        issuer.token(aud=["somebody-else", issuer.claims()["aud"]])
    ),
    "scheme-in-lower-case": lambda issuer: _bearing(issuer.token(), scheme="bearer"),
    "the-other-key": lambda issuer: _bearing(
        signed(issuer.header(issuer.keys[1]), issuer.claims(), issuer.keys[1])
    ),
}
"""Metadata that must let its caller in, by what is unusual about it."""
