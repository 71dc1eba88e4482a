"""Stages of the pipeline that every server has: a limit on metadata, and the log of calls."""

import time

from .calls import Authorization, Call
from .errors import ResourceExhaustedError
from .telemetry.logging import logger


class Stage:
    """One concern of every call; by itself it lets every call pass, and does nothing."""

    def admit(self, call: Call, authorization: Authorization) -> None:
        """Let the call pass, or raise a DomainError; nothing of its body was read yet."""

    def began(self, call: Call) -> None:
        """Learn that the call is answered from now on, or refused; its message has arrived."""

    def done(self, call: Call) -> None:
        """Learn how the call ended; not told of who left before the message had arrived."""


class MetadataLimit(Stage):
    """Refuses calls that bring too much metadata (ERR-5).

    gRPC has such a limit too, but applies it only once the caller has acknowledged
    the settings that announce it: the first call of a connection comes before that.

    Args:
        most: bytes, as `Call.metadata_size` counts them.
    """

    def __init__(self, most: int) -> None:
        """Remember the limit."""
        self._most = most

    def admit(self, call: Call, _authorization: Authorization) -> None:
        """Compare.

        Raises:
            ResourceExhaustedError: it is too much.
        """
        if (size := call.metadata_size) > self._most:
            raise ResourceExhaustedError(
                f"the metadata has {size} bytes, the limit is {self._most}"
            )


class CallLog(Stage):
    """Logs every call at level debug."""

    def done(self, call: Call) -> None:
        """Write one line."""
        logger().debug(
            "call",
            method=call.method,
            request_id=call.request_id,
            code=call.code.name,
            seconds=round((time.monotonic_ns() - call.started) / 1e9, 6),
        )
