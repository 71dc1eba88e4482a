"""Domain errors, and the status that each of them becomes (document: Status Code Mapping).

Whatever is not a domain error is INTERNAL "internal error" to the caller (ERR-2),
and is told in full to the log alone.
"""

from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

DETAILS = "grpc-status-details-bin"
"""Trailing metadata that carries google.rpc.Status."""


class StartError(Exception):
    """The process cannot start; the message names the field or path."""


class DomainError(Exception):
    """An error whose message the caller may read."""

    @property
    def details(self) -> tuple[AnyMessage, ...]:
        """Rich details for the caller."""
        return ()


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong, and why: an entry of google.rpc.BadRequest."""

    field: str
    description: str

    def below(self, prefix: str) -> "Violation":
        """Return the same violation of a message that is itself a field."""
        return Violation(f"{prefix}.{self.field}", self.description)


class InvalidArgumentError(DomainError):
    """The request itself is wrong: ErrInvalidArgument."""

    def __init__(self, *violations: Violation) -> None:
        """Name what is wrong with which field."""
        told = "; ".join(f"{each.field}: {each.description}" for each in violations)
        super().__init__(f"invalid request: {told}")
        self.violations = violations

    @property
    def details(self) -> tuple[AnyMessage, ...]:
        """google.rpc.BadRequest."""
        packed = AnyMessage()
        packed.Pack(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=each.field, description=each.description
                    )
                    for each in self.violations
                ]
            )
        )
        return (packed,)


class MalformedMessageError(DomainError):
    """The request is no message of its type."""


class NotFoundError(DomainError):
    """ErrNotFound."""


class AlreadyExistsError(DomainError):
    """ErrAlreadyExists."""


class PermissionDeniedError(DomainError):
    """ErrPermissionDenied."""


class UnauthenticatedError(DomainError):
    """ErrUnauthenticated."""


class ResourceExhaustedError(DomainError):
    """ErrResourceExhausted."""


class UnavailableError(DomainError):
    """ErrUnavailable: the same call may succeed elsewhere, or later."""


class FailedPreconditionError(DomainError):
    """Not now: something else has to happen, or must not have happened, before."""


class AbortedError(DomainError):
    """What was begun was undone; the message says why."""


class FailedError(DomainError):
    """The service failed, and the caller may learn at what; the cause is for the log."""


CODES: dict[type[DomainError], grpc.StatusCode] = {
    AbortedError: grpc.StatusCode.ABORTED,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    FailedError: grpc.StatusCode.INTERNAL,
    FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    MalformedMessageError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    ResourceExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
}
"""`toGRPCError` as a table."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ends for its caller."""

    code: grpc.StatusCode
    message: str = ""
    trailers: tuple[tuple[str, str | bytes], ...] = ()


def to_status(error: Exception) -> Status:
    """Return what the caller is told of an error."""
    if not isinstance(error, DomainError):
        return Status(grpc.StatusCode.INTERNAL, "internal error")
    code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    if not error.details:
        return Status(code, str(error))
    number: int = code.value[0]
    rich = status_pb2.Status(code=number, message=str(error), details=error.details)
    return Status(code, str(error), ((DETAILS, rich.SerializeToString()),))
