"""What must not be told: tokens and keys, and how to find a part of one in a text."""

import re
from collections.abc import Iterable, Iterator, Sequence

LEAST = 9
"""Characters of what is looked for at least: what is shorter may stand anywhere by chance."""

RUN = 16
"""Characters in a row of a secret that tell of it: of base64url, 96 bits."""


def told(text: str, secrets: Iterable[str]) -> list[str]:
    """Return which secrets a text tells, or 16 characters in a row of.

    Args:
        text: what may be read.
        secrets: what must not be in it; those shorter than 9 characters are left out.
    """
    runs = set(_runs(text))
    return [
        secret
        for secret in dict.fromkeys(secrets)
        if len(secret) >= LEAST
        and (secret in text if len(secret) < RUN else not runs.isdisjoint(_runs(secret)))
    ]


def of_metadata(entries: Iterable[tuple[str, str | bytes]]) -> Iterator[str]:
    """Yield the parts of every token in the values of metadata."""
    for _, value in entries:
        yield from re.split(r"[^\w-]+", value if isinstance(value, str) else value.decode())


def of_key(pem: bytes) -> Sequence[str]:
    """Return the lines of a private key in PEM, but those that say what it is."""
    return pem.decode().splitlines()[1:-1]


def _runs(text: str) -> Iterator[str]:
    return (text[start : start + RUN] for start in range(len(text) - RUN + 1))
