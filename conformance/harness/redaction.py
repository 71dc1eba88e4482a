"""Nothing secret is written: tokens, private keys, credentials, and what the suite minted.

In the place of a secret stands a mark, `[redacted token sub=alice kid=k1 #3f2a90c1]`. The same
secret has the same mark everywhere, so that evidence can still be followed from file to file.
What was encoded once more, say as hexadecimal, is not recognized.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator

_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----"
    r"(?:(?P<body>.{0,16384}?)-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----"
    r"|(?P<cut>(?:[A-Za-z0-9+/=\s]|\\+[nrt])*))",
    re.DOTALL,
)
"""A private key as PEM, also escaped within a string, also cut short."""

_KEY_END = re.compile(
    r"(?P<cut>(?:[A-Za-z0-9+/]{16,}+={0,2}+(?:\s|\\+[nr])*+)++)"
    r"-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----"
)
"""The end of one whose beginning was cut off."""

_BREAKS = re.compile(r"\s|\\+[nrt]")

_TOKEN = re.compile(r"(?:eyJ|eyA[gi]|ewog)[\w-]{13,}(?:\.[\w-]*){0,4}", re.ASCII)
"""Parts of a JWS or JWE in compact form, beginning with a JSON object in base64url."""

_CREDENTIAL = re.compile(
    r"""(?ix)
    (?P<before> (?:
        (?<=["'])authorization\\?["']\s*[:=,]\s*+(?:value\s*[:=]\s*)?+  # as a key or in a pair
      | (?<=["'])authorization\\?["'],?\s*value\s*[:=]\s*               # as messages are printed
      | \bauthorization\s*[:=]\s* )                                   # as a header, or in a log
      (?:[\[({](?!redacted))?+ \s*+ (?:b(?=["']))?+ \\?+ ["']?+
      (?:[a-z][a-z-]{2,15}+(?:[ \t]+|%20)(?=[^\s"']))?+ )             # its scheme is no secret
    (?P<credential> (?!\[redacted|(?:bearer|basic|digest)(?![\w.~+/=-])) [^\s"'\\\])},;]{3,} )
    """
)
"""The value of the header `authorization`, in the forms in which logs show it."""

_BEARER = re.compile(
    r"(?P<before>\b[Bb]earer(?:[ \t]+|%20))(?=\S*\d)(?P<credential>[\w~+/.=-]{8,})"
)
"""What else looks like one: prose about bearers holds no digit in its next word."""

_WORD = re.compile(r"[\w+/=-]{8,}", re.ASCII)

_GRAM = 8
"""Characters by which a known secret is found: of base64, 48 bits."""

_PART = 2 * _GRAM - 1
"""Characters in a row of a known secret that are always found."""

_SAID = re.compile(r"[^\w.:@/ -]", re.ASCII)
_SAID_AT_MOST = 64


class Secrets:
    """Secrets that were minted in this run, found in a text also where a part of one is told."""

    def __init__(self) -> None:
        """Know none."""
        self._grams: dict[str, tuple[str, int, str]] = {}

    def add(self, secret: str, mark: str) -> None:
        """Know another one, and what stands in its place; it must be as good as random."""
        for start in range(0, len(secret) - _GRAM + 1, _GRAM):
            self._grams[secret[start : start + _GRAM]] = secret, start, mark

    def without(self, text: str) -> str:
        """Return a text with a mark in the place of each part of a known secret."""
        pieces: list[str] = []
        done = 0
        for start, end, mark in self._found(text):
            if start >= done:
                pieces += text[done:start], mark
            done = max(done, end)
        return "".join([*pieces, text[done:]])

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        if not self._grams:
            return
        for word in _WORD.finditer(text):
            place, last = word.start(), word.end() - _GRAM
            while place <= last:
                known = self._grams.get(text[place : place + _GRAM])
                found = known and _span(text, place, *known[:2])
                if not known or not found:
                    place += 1
                    continue
                yield *found, known[2]
                place = max(place + 1, found[1])


def _span(text: str, place: int, secret: str, offset: int) -> tuple[int, int] | None:
    """Return from where to where a text that has a gram of a secret tells it; None: too little."""
    start, end = place, place + _GRAM
    while offset and start and text[start - 1] == secret[offset - 1]:
        start, offset = start - 1, offset - 1
    while end < len(text) and text[start : end + 1] == secret[offset : offset + end + 1 - start]:
        end += 1
    return (start, end) if end - start >= min(_PART, len(secret)) else None


SECRETS = Secrets()
"""What this process minted."""


def keep_token(token: str) -> None:
    """Know a token: its signature, without which the rest admits nobody."""
    SECRETS.add(token.rpartition(".")[2], _token_mark(token))


def keep_key(pem: bytes) -> None:
    """Know a private key: each line of it."""
    text = pem.decode()
    if (match := _KEY.search(text)) is not None:
        for line in (match["body"] or "").split():
            SECRETS.add(line, _key_mark(match["body"]))


def redacted(text: str) -> str:
    """Return a text without secrets."""
    text = _KEY.sub(lambda match: _key_mark(match["body"] or match["cut"] or ""), text)
    if "PRIVATE KEY-----" in text:
        text = _KEY_END.sub(lambda match: _key_mark(match["cut"]), text)
    text = _TOKEN.sub(lambda match: _token_mark(match[0]), text)
    for pattern in (_CREDENTIAL, _BEARER):
        text = pattern.sub(
            lambda match: f"{match['before']}[redacted credential #{_print(match['credential'])}]",
            text,
        )
    return SECRETS.without(text)


def redacted_bytes(data: bytes) -> bytes:
    """Return data without the secrets that stand in them as text."""
    return redacted(data.decode("latin-1")).encode("latin-1")


def _key_mark(body: str) -> str:
    return f"[redacted private key #{_print(_BREAKS.sub('', body))}]"


def _token_mark(token: str) -> str:
    parts = token.split(".")
    if len(parts) < 2:  # noqa: PLR2004 - a token has three
        return f"[redacted part of a token #{_print(token)}]"
    said = [
        f" {name}={_said(value)}"
        for name, value in (("sub", _claim(parts[1], "sub")), ("kid", _claim(parts[0], "kid")))
        if value
    ]
    return f"[redacted token{''.join(said)} #{_print(parts[-1] or token)}]"


def _claim(part: str, name: str) -> str:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


def _said(value: str) -> str:
    """Return what a token says of itself, so that it cannot say another thing besides."""
    plain = _SAID.sub("?", value[:_SAID_AT_MOST])
    return "?" if redacted(plain) != plain else plain


def _print(secret: str) -> str:
    """Return a secret's fingerprint: 32 bits of its hash, far too few to find it by."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()[:8]
