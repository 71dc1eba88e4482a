"""Tokens that callers bear: verified once, then known for as long as they live (AUTH-1, AUTH-2).

Imported only where tokens are asked for, as `keys` is.
"""

import re
import time
from collections.abc import Callable
from hashlib import sha256

from jwt import PyJWK, PyJWS, PyJWTError

from ...config.auth import Auth
from ..calls import AUTHORIZATION, Metadata
from .claims import Claims, read
from .keys import KeySet
from .refusals import InvalidTokenError, MissingTokenError

COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
"""A JWS in compact form: header, claims and signature, in base64url without padding."""

LONGEST_TOKEN = 8192
"""Characters: what is longer is refused before any work is done for it."""

MOST_KNOWN = 10_000
"""Tokens that are known at once at most."""


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
        self._known: dict[bytes, Claims] = {}
        """By the hash of the token: nothing here can be used to call anybody."""
        self._known_by = keys()

    def __repr__(self) -> str:
        """Show how many tokens are known, and none of them."""
        return f"Verifier(known={len(self._known)}, keys={len(self._known_by)})"

    def authenticate(self, metadata: Metadata) -> Claims:
        """Return the claims of the token that a call bears.

        Raises:
            MissingTokenError: it bears none.
            InvalidTokenError: it bears something else, or a token that is not valid now.
        """
        found = [value for name, value in metadata if name == AUTHORIZATION]
        if not found:
            raise MissingTokenError
        if len(found) > 1:
            raise InvalidTokenError("more than one authorization entry")
        (value,) = found
        if not isinstance(value, str) or value[:7].lower() != "bearer ":
            raise InvalidTokenError("another scheme than Bearer")
        return self.verify(value[7:])

    def verify(self, token: str) -> Claims:
        """Return the claims of a token.

        Raises:
            InvalidTokenError: it is not valid, or not now.
        """
        if (keys := self._keys()) is not self._known_by:
            self._known.clear()
            self._known_by = keys
        if len(token) > LONGEST_TOKEN:
            raise InvalidTokenError("too long")
        digest = sha256(token.encode(errors="surrogatepass")).digest()
        if (claims := self._known.get(digest)) is not None:
            if self._now() < claims.expires:
                return claims
            del self._known[digest]
        claims = read(self._payload(token, keys), self._auth, self._now())
        self._remember(digest, claims)
        return claims

    def _payload(self, token: str, keys: KeySet) -> bytes:
        """Return what is signed; what is wrong is told by words of our own."""
        if not COMPACT.fullmatch(token):
            raise InvalidTokenError("no JWS in compact form")
        try:
            header = self._jws.get_unverified_header(token)
            key = _key(header, keys)
            payload: bytes = self._jws.decode(token, key)
        except PyJWTError as error:
            raise InvalidTokenError(REASONS.get(type(error).__name__, "malformed")) from None
        return payload

    def _remember(self, digest: bytes, claims: Claims) -> None:
        """Know a token, in the place of the one known longest where there are too many."""
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[digest] = claims


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
