"""Where an exchange of bytes can be cut: at the ends of its frames, and beside them."""

from collections.abc import Iterator, Sequence

from .frames import PREFACE

_FRAME, _RECORD = 9, 5
"""Bytes of the header of a frame of HTTP/2, and of a record of TLS."""

LONG = 64
"""Bytes from which on a frame is cut in its middle too."""

BLIND = 4000
"""Bytes in which there are cuts where nobody has recorded what there is."""

EACH = 211
"""Bytes between two of these: a prime, so that they fall everywhere."""


def frame_ends(data: bytes) -> list[int]:
    """Return where the frames of HTTP/2 end in one direction of a connection, its preface too."""
    start = PREFACE if data.startswith(b"PRI ") else 0
    ends = [start] if start else []
    while len(data) - start >= _FRAME:
        start += _FRAME + int.from_bytes(data[start : start + 3], "big")
        ends.append(start)
    return ends


def record_ends(data: bytes) -> list[int]:
    """Return where the records of TLS end in one direction of a connection."""
    start, ends = 0, []
    while len(data) - start >= _RECORD:
        start += _RECORD + int.from_bytes(data[start + 3 : start + 5], "big")
        ends.append(start)
    return ends


def cuts(data: bytes | None, *, every: bool = False) -> list[int]:
    """Return after how many bytes one direction of an exchange is cut.

    Args:
        data: that were recorded of it; None: none were.
        every: whether after each byte.
    """
    if data is None:
        return list(range(0, BLIND, 1 if every else EACH))
    if every:
        return list(range(len(data) + 1))
    # A record of TLS begins with its type, 20 to 23; frames and preface of HTTP/2 never do.
    ends = record_ends(data) if data[:1] == b"\x16" else frame_ends(data)
    return sorted({cut for cut in _beside(ends) if 0 <= cut <= len(data)})


def _beside(ends: Sequence[int]) -> Iterator[int]:
    yield from (0, 1)
    before = 0
    for end in ends:
        yield from (end - 1, end, end + 1)
        if end - before >= LONG:
            yield (before + end) // 2
        before = end
