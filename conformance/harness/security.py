"""A service that asks for tokens, and those who call it."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .calls import Channel
from .identity import SERVICE, Identity
from .nodes import Node
from .tokens import AUDIENCE, ISSUER, Issuer, Key, bearer

ADMIN = "admin"
"""The role that is granted everything."""

ROLES: Mapping[str, Sequence[str]] = {
    ADMIN: ["*"],
    "reader": [f"/{SERVICE}/ResolveDID"],
    "nobody": [],
}
"""The roles of the shared service."""

RELOAD = 0.2
"""Seconds that the suite configures as `auth.reload_interval`, and as `tls.reload_interval`."""

_numbers = itertools.count(1)


def request_id() -> tuple[str, str]:
    """Return metadata by which a call's lines in the log are found."""
    return "x-request-id", f"suite-{next(_numbers)}"


def shared_issuer() -> Issuer:
    """Return an issuer with a key of each kind."""
    return Issuer(Key("EdDSA", "suite-ed25519"), Key("ES256", "suite-p256"))


class Trust:
    """What a node believes: an issuer's keys in a file, and what each role is granted."""

    def __init__(self, directory: Path, issuer: Issuer) -> None:
        """Write the issuer's public keys below `directory`."""
        self.issuer = issuer
        self.file = directory / "jwks.json"
        self.publish()

    def publish(self) -> None:
        """Write the issuer's present keys, from one moment to the next."""
        draft = self.file.with_suffix(".new")
        draft.write_text(self.issuer.key_set, encoding="utf-8")
        draft.replace(self.file)

    def settings(self, roles: Mapping[str, Sequence[str]] = ROLES, **other: Any) -> dict[str, Any]:
        """Return the settings by which a service asks for tokens."""
        return {
            "auth": {
                "issuer": ISSUER,
                "audience": AUDIENCE,
                "jwks_file": str(self.file),
                "roles": {name: {"methods": list(methods)} for name, methods in roles.items()},
                "reload_interval": f"{RELOAD}s",
            }
            | other
        }


class Secured:
    """A running identity service that asks for tokens, and the issuer that it believes.

    The service's own channel carries a token of the role `admin`.
    """

    def __init__(self, service: Identity, trust: Trust) -> None:
        """Put together what was started."""
        self.service = service
        self.trust = trust
        self.issuer = trust.issuer
        self._stranger: Channel | None = None

    def __repr__(self) -> str:
        """Show the service and the issuer."""
        return f"Secured({self.service}, {self.issuer})"

    @property
    def stranger(self) -> Channel:
        """A channel whose calls carry what they bring themselves, and no token of their own."""
        if self._stranger is None or self._stranger.closed:
            self._stranger = self.service.connect(metadata=())
        return self._stranger

    def caller(self, subject: str = "ada", role: str | None = ADMIN, **claims: Any) -> Channel:
        """Return a channel whose every call carries a right token of a subject and role."""
        return self.bearing(self.issuer.token(subject, role, **claims))

    def bearing(self, *tokens: str) -> Channel:
        """Return a channel whose every call carries these tokens; without any, none."""
        return self.service.connect(metadata=bearer(*tokens))


async def start_secured(
    node: Node, changes: Mapping[str, Any] | None = None, **trusting: Any
) -> Secured:
    """Start an identity service that asks for tokens.

    Args:
        node: where.
        changes: to its other settings.
        trusting: as of `Trust.settings`.

    Raises:
        NonConformance: it does not become ready.
    """
    trust = Trust(node.directory, shared_issuer())
    node.metadata = bearer(trust.issuer.token())
    return Secured(await node.start(trust.settings(**trusting) | dict(changes or {})), trust)
