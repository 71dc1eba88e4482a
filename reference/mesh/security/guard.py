"""The guard: who calls, whether they may, and whether not too often, in one stage."""

from typing import Protocol

from ...config.reading import ProcessSettings
from ..calls import Authorization, Call
from ..stages import Stage
from .claims import Claims
from .rate_limit import Limiter
from .refusals import NotPermittedError
from .roles import Roles

OPEN = frozenset(
    (
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/blackhole.identity.v1.IdentityService/Check",
    )
)
"""Methods that need no token and know no limit (AUTH-4, RATE-4)."""


class Authenticator(Protocol):
    """Tells whose calls they are."""

    def authenticate(self, authorization: Authorization) -> Claims:
        """Return the claims of a call, or raise a RefusalError."""


class Guard(Stage):
    """Refuses calls, existing methods or not (AUTH-8).

    Args:
        authenticator: None: nobody needs a token.
        roles: what tokens permit.
        limiter: None: nothing is limited.
    """

    def __init__(
        self, authenticator: Authenticator | None, roles: Roles, limiter: Limiter | None
    ) -> None:
        """Put the three together."""
        self._authenticator = authenticator
        self._roles = roles
        self._limiter = limiter

    def admit(self, call: Call, authorization: Authorization) -> None:
        """Let a call pass, and tell it who its caller is (AUTH-6).

        Raises:
            RefusalError: it must not pass.
        """
        method = call.method
        if method in OPEN:
            return
        if (authenticator := self._authenticator) is not None:
            claims = authenticator.authenticate(authorization)
            call.subject = claims.subject
            call.role = role = claims.role
            if not self._roles.permit(role, method):
                raise NotPermittedError(
                    "the token has no role" if role is None else "the role is not granted it"
                )
        if (limiter := self._limiter) is not None:
            limiter.admit(call.subject, call.started)


def guards(settings: ProcessSettings) -> list[Guard]:
    """Return the guard of a process, if it needs one.

    Raises:
        StartError: the file with the keys cannot be used.
    """
    limiter = Limiter(settings.rate_limit) if settings.rate_limit else None
    if (auth := settings.auth) is None:
        return [Guard(None, Roles({}), limiter)] if limiter else []
    # Imported here: who asks for no token starts without.
    from . import keys  # noqa: PLC0415
    from .files import WatchedFile  # noqa: PLC0415
    from .tokens import Verifier  # noqa: PLC0415

    file = WatchedFile("auth.jwks_file", auth.jwks_file, keys.parse, auth.reload_interval)
    return [Guard(Verifier(auth, file.current), Roles(auth.roles), limiter)]
