"""What requests to the ledger may hold; each finding names its field."""

import re
from collections.abc import Iterator

from blackhole.ledger.v1 import ledger_pb2 as pb

from ...mesh.errors import Violation
from ..words import refuse, word_violations

LONGEST_KIND = 64

KEY = re.compile(r"[!-~]{0,128}", re.ASCII)

LARGEST_PAYLOAD = 1 << 20
"""Bytes."""

AROUND = 1024
"""Bytes of an answer that are not payload, at most: the kind, the key and the hashes."""


def largest_payload(message_limit: int) -> int:
    """Return how many bytes a payload may have, so that every entry can be read."""
    return max(0, min(LARGEST_PAYLOAD, message_limit - AROUND))


def check_append(request: pb.AppendRequest, largest: int) -> None:
    """Refuse an entry that cannot be appended.

    Args:
        request: what is asked for.
        largest: bytes of a payload.

    Raises:
        InvalidArgumentError: names every field that is wrong.
    """
    refuse(*append_violations(request, largest))


def append_violations(request: pb.AppendRequest, largest: int) -> Iterator[Violation]:
    """Yield what is wrong with an AppendRequest."""
    yield from word_violations("kind", request.kind, LONGEST_KIND)
    if (size := len(request.payload)) > largest:
        yield Violation("payload", f"has {size} bytes, {largest} at most")
    if not KEY.fullmatch(request.key):
        yield Violation("key", "must be at most 128 ASCII characters from '!' to '~'")
