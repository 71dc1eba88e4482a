"""Calls that are refused before their handler, each with a reason that only the audit tells."""

from typing import ClassVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from ..errors import (
    DomainError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
)

LONGEST_DELAY = 315_576_000_000
"""Seconds: google.protobuf.Duration holds no more."""


class RefusalError(DomainError):
    """A call that is refused, which leaves an audit record (AUD-1).

    Args:
        message: what the caller reads.
        reason: what the record says; never any part of a token.
    """

    event: ClassVar[str]
    """Name in the record."""

    def __init__(self, message: str, reason: str) -> None:
        """Hold both."""
        super().__init__(message)
        self.reason = reason


class MissingTokenError(RefusalError, UnauthenticatedError):
    """The call bears no token (AUTH-1)."""

    event = "authentication_refused"

    def __init__(self) -> None:
        """Say so."""
        super().__init__("missing token", "no token")


class InvalidTokenError(RefusalError, UnauthenticatedError):
    """The call bears no valid token; why is not for the caller (AUTH-2)."""

    event = "authentication_refused"

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__("invalid token", reason)


class NotPermittedError(RefusalError, PermissionDeniedError):
    """The role of the token is not granted the method (AUTH-3)."""

    event = "permission_refused"

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__("insufficient permissions", reason)


class RateLimitedError(RefusalError, ResourceExhaustedError):
    """There were too many calls (RATE-1).

    Args:
        reason: whose limit it is.
        delay: nanoseconds until a call would be let through.
    """

    event = "rate_limited"

    def __init__(self, reason: str, delay: int) -> None:
        """Keep both."""
        super().__init__("rate limit exceeded", reason)
        self.delay = delay

    @property
    def details(self) -> tuple[AnyMessage, ...]:
        """google.rpc.RetryInfo (RATE-3)."""
        delay, packed = Duration(), AnyMessage()
        delay.FromNanoseconds(min(self.delay, LONGEST_DELAY * 10**9))
        packed.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        return (packed,)
