"""The token of the process's own calls (AUTH-7)."""

import re
import time
from collections.abc import Callable

from ...config.auth import TokenFile
from ..calls import AUTHORIZATION
from .files import UnusableError, WatchedFile

TOKEN = re.compile(r"[!-~]+", re.ASCII)
"""What metadata can hold, and a token is made of."""

Entry = tuple[str, str]


def parse(content: bytes) -> Entry:
    """Return the entry of the metadata that a file's token is.

    Raises:
        UnusableError: the file holds no token.
    """
    text = content.decode("ascii", errors="replace").strip()
    if not text:
        raise UnusableError("is empty")
    if not TOKEN.fullmatch(text):
        raise UnusableError("holds no token")
    return AUTHORIZATION, f"Bearer {text}"


def own_token(file: TokenFile, clock: Callable[[], float] = time.monotonic) -> WatchedFile[Entry]:
    """Return what holds the token of the process's own calls.

    Raises:
        StartError: the file is missing, holds no token, or can be read by others.
    """
    return WatchedFile(
        "auth.token_file", file.path, parse, file.reload_interval, private=True, clock=clock
    )
