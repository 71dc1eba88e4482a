"""What somebody does who changes a store behind its service's back."""

import base64
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .judging import did, untestable

PIECE = 32
"""Bytes that are looked for at once: by chance they stand nowhere, and in most files they are
not torn apart by the borders of pages or records."""

_SPACE = 8
"""Bytes between two pieces that are looked for."""


def tamper(directory: Path, payload: bytes) -> list[Path]:
    """Change one byte of a payload, in each place below a directory in which it stands.

    It may stand there as it is, in base64 or in hexadecimal digits.

    Args:
        directory: of a store that nobody has open.
        payload: hundreds of random bytes, which no store can keep in fewer.

    Returns:
        The files that were changed.

    Raises:
        Untestable: it stands nowhere.
    """
    files = {file: file.read_bytes() for file in directory.rglob("*") if file.is_file()}
    found: Counter[bytes] = Counter()
    for piece in _pieces(payload):
        found[piece] = sum(content.count(piece) for content in files.values())
    # A copy of it may be torn apart within some pieces, but not within the one found most often.
    (piece, places) = found.most_common(1)[0]
    if not places:
        untestable(f"the payload of an entry stands nowhere in {sorted(map(str, files))}")
    changed = [file for file, content in files.items() if piece in content]
    for file in changed:
        file.write_bytes(files[file].replace(piece, _other(piece)))
    did(f"changed a byte of a payload in {places} places: {', '.join(map(str, changed))}")
    return changed


def _pieces(payload: bytes) -> Iterator[bytes]:
    for form in (payload, base64.b64encode(payload), payload.hex().encode()):
        for start in range(0, len(form) - PIECE, _SPACE):
            yield form[start : start + PIECE]


def _other(piece: bytes) -> bytes:
    """Return a piece with another first byte, which is right in all of these forms."""
    return (b"b" if piece.startswith(b"a") else b"a") + piece[1:]
