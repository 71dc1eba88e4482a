"""Stages of the pipeline that every server has: a limit on metadata, and the log of calls."""

import time
from typing import Protocol

from .calls import Call, Metadata
from .errors import ResourceExhaustedError
from .telemetry.logging import logger


class Stage(Protocol):
    """One concern of every call."""

    def admit(self, call: Call, metadata: Metadata) -> None:
        """Let the call pass, or raise a DomainError; nothing of its body was read yet."""

    def done(self, call: Call) -> None:
        """Learn how the call ended; not told of who left before the message had arrived."""


class MetadataLimit:
    """Refuses calls that bring too much metadata (ERR-5).

    gRPC has such a limit too, but applies it only once the caller has acknowledged
    the settings that announce it: the first call of a connection comes before that.

    Args:
        most: bytes, counted as HTTP/2 does: name, value and 32 more an entry.
    """

    ENTRY = 32
    OWN = frozenset(("user-agent",))
    """What gRPC itself sends, and shows among the metadata."""

    def __init__(self, most: int) -> None:
        """Remember the limit."""
        self._most = most

    def admit(self, call: Call, metadata: Metadata) -> None:
        """Count.

        Raises:
            ResourceExhaustedError: it is too much.
        """
        del call
        size = sum(
            len(name) + len(value) + self.ENTRY for name, value in metadata if name not in self.OWN
        )
        if size > self._most:
            raise ResourceExhaustedError(
                f"the metadata has {size} bytes, the limit is {self._most}"
            )

    def done(self, call: Call) -> None:
        """Nothing is kept."""


class CallLog:
    """Logs every call at level debug."""

    def admit(self, call: Call, metadata: Metadata) -> None:
        """Let it pass."""

    def done(self, call: Call) -> None:
        """Write one line."""
        logger().debug(
            "call",
            method=call.method,
            request_id=call.request_id,
            code=call.code.name,
            seconds=round(time.monotonic() - call.started, 6),
        )
