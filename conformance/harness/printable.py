"""The border over which text leaves the suite: without secrets, and without what acts on a reader.

What an implementation logs or answers ends up in reports and at terminals. There it is shown, and
does nothing: it colours no terminal, reorders no line, and breaks no encoding.
"""

import re
from typing import Any

from .redaction import redacted

_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but tabulator and line feed
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # unseen, or of direction
    "\ud800-\udfff\U000e0000-\U000e007f]"  # halves of characters; tags
)


def visible(text: str) -> str:
    """Return a text in which every character can be seen and does nothing: others by number."""
    return _ACTIVE.sub(_shown, text.replace("\r\n", "\n"))


def printable(text: str) -> str:
    """Return a text as it may be written anywhere."""
    return visible(redacted(text))


def everywhere(data: Any) -> Any:
    """Return plain data (dicts, lists, texts, numbers) with all its texts printable."""
    if isinstance(data, str):
        return printable(data)
    if isinstance(data, dict):
        return {everywhere(key): everywhere(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [everywhere(value) for value in data]
    return data


def _shown(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number <= 0xFF:  # noqa: PLR2004 - as Python writes it
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004 - same
