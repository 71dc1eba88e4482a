"""What requests to the identity service may hold; each finding names its field."""

import re
from collections.abc import Iterator

from blackhole.identity.v1 import identity_pb2 as pb

from ...mesh.errors import InvalidArgumentError, Violation

METHOD = re.compile(r"[a-z0-9]{1,64}", re.ASCII)
"""A DID method's name (W3C DID Core, 3.1), of a length that a path can bear."""

DID = re.compile(
    r"did:[a-z0-9]{1,64}:(?:(?:[A-Za-z0-9._-]|%[0-9A-Fa-f]{2})*:)*"
    r"(?:[A-Za-z0-9._-]|%[0-9A-Fa-f]{2})+",
    re.ASCII,
)
"""A DID (W3C DID Core, 3.1)."""

LONGEST_DID = 2048
"""Characters of a DID at most: none that was ever issued is a tenth as long."""

ALGORITHMS = frozenset(pb.EncryptionAlgorithm.values()) - {
    pb.ENCRYPTION_ALGORITHM_UNSPECIFIED,
}
EVENT_TYPES = frozenset(pb.EventType.values()) - {pb.EVENT_TYPE_UNSPECIFIED}


def check_create(request: pb.CreateDIDRequest) -> None:
    """Refuse a CreateDID that cannot be carried out.

    Raises:
        InvalidArgumentError: names every field that is wrong.
    """
    _refuse(list(create_violations(request)))


def check_batch(request: pb.BatchCreateDIDsRequest, most: int) -> None:
    """Refuse a batch that is too large, or of which one item cannot be carried out (IDN-7).

    Raises:
        InvalidArgumentError: names every field of every item that is wrong.
    """
    if (count := len(request.requests)) > most:
        _refuse([Violation("requests", f"has {count} items, {most} at most")])
    _refuse(
        [
            violation.below(f"requests[{position}]")
            for position, item in enumerate(request.requests)
            for violation in create_violations(item)
        ]
    )


def check_did(did: str) -> None:
    """Refuse what is no DID.

    Raises:
        InvalidArgumentError: names `did`.
    """
    if len(did) > LONGEST_DID:
        _refuse([Violation("did", f"has {len(did)} characters, {LONGEST_DID} at most")])
    if not DID.fullmatch(did):
        _refuse([Violation("did", "must be did:METHOD:ID as in W3C DID Core, 3.1")])


def check_types(request: pb.StreamDIDEventsRequest) -> None:
    """Refuse event types that do not exist (IDL-4).

    Raises:
        InvalidArgumentError: names each by its position.
    """
    _refuse(
        [
            Violation(f"types[{position}]", f"there is no event type {number}")
            for position, number in enumerate(request.types)
            if number not in EVENT_TYPES
        ]
    )


def create_violations(request: pb.CreateDIDRequest) -> Iterator[Violation]:
    """Yield what is wrong with a CreateDIDRequest."""
    if not METHOD.fullmatch(request.method):
        yield Violation("method", "must be 1 to 64 lower-case ASCII letters and digits")
    if request.HasField("encryption") and request.encryption.algorithm not in ALGORITHMS:
        yield Violation(
            "encryption.algorithm", f"there is no algorithm {request.encryption.algorithm}"
        )


def _refuse(violations: list[Violation]) -> None:
    if violations:
        raise InvalidArgumentError(*violations)
