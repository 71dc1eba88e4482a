"""Tokens that callers bear: verified once, then known for as long as they live (AUTH-1, AUTH-2).

Imported only where tokens are asked for, as `keys` is.
"""

import re
import time
from collections.abc import Callable

from jwt import PyJWK, PyJWS, PyJWTError

from ...config.auth import Auth
from ..calls import SEVERAL, Authorization
from .claims import Claims, read
from .keys import KeySet
from .refusals import InvalidTokenError, MissingTokenError

COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
"""A JWS in compact form: header, claims and signature, in base64url without padding."""

LONGEST_TOKEN = 8192
"""Characters: what is longer is refused before any work is done for it."""

MOST_KNOWN = 4096
"""Tokens that are known at once at most: 32 MiB of the longest."""


class Verifier:
    """Tells whose calls they are.

    Args:
        auth: issuer, audience and leeway.
        keys: the present key set; another object once it has changed.
        now: seconds from the epoch.
        most: tokens that are known at once.
    """

    def __init__(
        self,
        auth: Auth,
        keys: Callable[[], KeySet],
        now: Callable[[], float] = time.time,
        most: int = MOST_KNOWN,
    ) -> None:
        """Know no token."""
        self._auth = auth
        self._keys = keys
        self._now = now
        self._most = most
        self._jws = PyJWS(algorithms=["EdDSA", "ES256"])
        # By the entry as it came: the SHA-256 of it would make each call 15 us slower, 3 % of it.
        self._known: dict[str | bytes, Claims] = {}
        self._known_by = keys()

    def __repr__(self) -> str:
        """Show how many tokens are known, and none of them."""
        return f"Verifier(known={len(self._known)}, keys={len(self._known_by)})"

    def authenticate(self, authorization: Authorization) -> Claims:
        """Return the claims of the token that a call bears.

        Args:
            authorization: its entry of that name, or SEVERAL.

        Raises:
            MissingTokenError: it bears none.
            InvalidTokenError: it bears something else, or a token that is not valid now.
        """
        if authorization is None:
            raise MissingTokenError
        if (keys := self._keys()) is not self._known_by:
            self._known.clear()
            self._known_by = keys
        if (claims := self._known.get(authorization)) is not None:
            if self._now() < claims.expires:
                return claims
            del self._known[authorization]
        claims = self._verified(authorization, keys)
        self._remember(authorization, claims)
        return claims

    def _verified(self, entry: str | bytes, keys: KeySet) -> Claims:
        if entry is SEVERAL:
            raise InvalidTokenError("more than one authorization entry")
        if not isinstance(entry, str) or entry[:7].lower() != "bearer ":
            raise InvalidTokenError("another scheme than Bearer")
        return read(self._payload(entry[7:], keys), self._auth, self._now())

    def _payload(self, token: str, keys: KeySet) -> bytes:
        """Return what is signed; what is wrong is told by words of our own."""
        if len(token) > LONGEST_TOKEN:
            raise InvalidTokenError("too long")
        if not COMPACT.fullmatch(token):
            raise InvalidTokenError("no JWS in compact form")
        try:
            header = self._jws.get_unverified_header(token)
            key = _key(header, keys)
            payload: bytes = self._jws.decode(token, key)
        except PyJWTError as error:
            raise InvalidTokenError(REASONS.get(type(error).__name__, "malformed")) from None
        return payload

    def _remember(self, entry: str | bytes, claims: Claims) -> None:
        """Know a token, in the place of the one known longest where there are too many."""
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[entry] = claims


REASONS = {
    "InvalidAlgorithmError": "an algorithm that is not its key's",
    "InvalidSignatureError": "a wrong signature",
}
"""What is told of errors of the library, by their names; their messages may quote the token."""


def _key(header: dict[str, object], keys: KeySet) -> PyJWK:
    if "crit" in header:
        raise InvalidTokenError("a critical header")
    if not isinstance(kid := header.get("kid"), str):
        raise InvalidTokenError("no key ID")
    if (key := keys.get(kid)) is None:
        raise InvalidTokenError("an unknown key")
    return key
