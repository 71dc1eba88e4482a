"""What a token says, once its signature is known to be good: claims (RFC 7519)."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from ...config.auth import Auth
from .refusals import InvalidTokenError

LONGEST_SUBJECT = 256
"""Characters of a subject at most."""

END_OF_TIME = 253_402_300_800
"""Seconds from the epoch to the year 10000: what is later is no date."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who calls, for as long as the token lives."""

    subject: str
    role: str | None
    """None: it has no role, and so no permission."""
    expires: float
    """Seconds from the epoch, leeway included."""


def read(payload: bytes, auth: Auth, now: float) -> Claims:
    """Return the claims of a token that is valid now.

    Args:
        payload: of a token whose signature is good.
        auth: what must be in it.
        now: seconds from the epoch.

    Raises:
        InvalidTokenError: it is not for us, or not now, or says something that cannot be.
    """
    found = _object(payload)
    if found.get("iss") != auth.issuer:
        raise InvalidTokenError("another issuer")
    audience = found.get("aud")
    if audience != auth.audience and not (isinstance(audience, list) and auth.audience in audience):
        raise InvalidTokenError("another audience")
    expires = _date(found, "exp") + auth.leeway
    if now >= expires:
        raise InvalidTokenError("expired")
    if "nbf" in found and now < _date(found, "nbf") - auth.leeway:
        raise InvalidTokenError("not yet valid")
    return Claims(_subject(found), _role(found), expires)


def _object(payload: bytes) -> dict[str, Any]:
    try:
        found = json.loads(payload, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidTokenError("claims that are not JSON") from None
    if not isinstance(found, dict):
        raise InvalidTokenError("claims that are no object")
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def _date(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTokenError(f"no date in {name}")
    if not 0 <= value < END_OF_TIME:
        raise InvalidTokenError(f"no date in {name}")
    return float(value)


def _subject(claims: dict[str, Any]) -> str:
    value = claims.get("sub")
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_SUBJECT:
        raise InvalidTokenError(f"no subject of 1 to {LONGEST_SUBJECT} characters")
    # Half of a surrogate pair is no text, and nothing that writes text takes it.
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidTokenError("a subject that is no text")
    return value


def _role(claims: dict[str, Any]) -> str | None:
    if "role" not in claims:
        return None
    if not isinstance(value := claims["role"], str):
        raise InvalidTokenError("a role that is no text")
    return value
