"""What requests to the storage service may hold; each finding names its field."""

from collections.abc import Iterator

from blackhole.storage.v1 import storage_pb2 as pb

from ...mesh.errors import Violation
from ..words import refuse, word_violations

LONGEST_ID = 128

PATHS = frozenset((".", ".."))
"""Names that every directory has already."""


def check_id(file_id: str) -> None:
    """Refuse what is no file ID (STO-5).

    Raises:
        InvalidArgumentError: names `file_id`.
    """
    refuse(*id_violations(file_id))


def check_first(chunk: pb.UploadFileRequest, largest: int) -> None:
    """Refuse a first chunk that no upload can begin with.

    Raises:
        InvalidArgumentError: names every field that is wrong.
    """
    refuse(*id_violations(chunk.file_id), *data_violations(chunk.data, largest))


def check_next(chunk: pb.UploadFileRequest, file_id: str, largest: int) -> None:
    """Refuse a chunk that does not go on with an upload.

    Raises:
        InvalidArgumentError: names every field that is wrong.
    """
    violations = list(data_violations(chunk.data, largest))
    if chunk.file_id not in ("", file_id):
        violations.insert(0, Violation("file_id", "must be that of the first message, or empty"))
    refuse(*violations)


def refuse_empty() -> None:
    """Refuse a stream without a chunk.

    Raises:
        InvalidArgumentError: names `file_id`.
    """
    refuse(Violation("file_id", "the stream has no message"))


def id_violations(file_id: str) -> Iterator[Violation]:
    """Yield what keeps a name from being a file ID."""
    yield from word_violations("file_id", file_id, LONGEST_ID)
    if file_id in PATHS:
        yield Violation("file_id", "must not be '.' or '..'")


def data_violations(data: bytes, largest: int) -> Iterator[Violation]:
    """Yield what is wrong with the bytes of a chunk."""
    if (size := len(data)) > largest:
        yield Violation("data", f"has {size} bytes, {largest} at most")
