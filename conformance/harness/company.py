"""Services that ask for tokens and call each other, and callers who may upload."""

from collections.abc import Mapping
from typing import Any

from .nodes import Node
from .security import ADMIN, Trust, shared_issuer
from .tokens import Issuer, bearer

_ROLES: Mapping[str, list[str]] = {
    ADMIN: ["*"],
    "service": [
        "/blackhole.identity.v1.IdentityService/ResolveDID",
        "/blackhole.ledger.v1.LedgerService/Append",
    ],
    "uploader": ["/blackhole.storage.v1.StorageService/UploadFile"],
}


class Company:
    """Settings of services that ask for tokens and call each other, and an issuer of tokens.

    The suite's own calls bear a token that is granted everything.
    """

    def __init__(self, node: Node, *dependencies: str) -> None:
        """Write what the services need: an issuer's keys, and their own token."""
        self.issuer: Issuer = shared_issuer()
        trust = Trust(node.directory, self.issuer)
        own = node.directory / "token"
        own.touch(0o600)
        own.write_text(self.issuer.token("storage", "service"), encoding="utf-8")
        node.metadata = bearer(self.issuer.token())
        self.settings: dict[str, Any] = {
            **trust.settings(_ROLES, token_file=str(own)),
            "services": {name: {} for name in dependencies}
            | {"storage": {"dependencies": list(dependencies)}},
        }

    def caller(self, subject: str) -> list[tuple[str, str]]:
        """Return the metadata of somebody's calls, who may upload and nothing else."""
        return list(bearer(self.issuer.token(subject, "uploader")))
