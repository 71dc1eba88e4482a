"""The audit: one line of the log for each refusal, and for each change of what is guarded."""

from ..calls import Call
from ..telemetry.logging import unfiltered
from .refusals import RefusalError

LONGEST_METHOD = 256
"""Characters of a method's name that are written: callers may make up more."""


def refused(call: Call, error: RefusalError) -> None:
    """Record a call that was refused (AUD-1)."""
    unfiltered().warning(
        "audit",
        _event=error.event,
        method=call.method[:LONGEST_METHOD],
        peer=call.peer,
        subject=call.subject,
        reason=error.reason,
        request_id=call.request_id,
    )


def changed(event: str, call: Call, *, did: str) -> None:
    """Record a DID that was created, updated or deleted (AUD-3)."""
    unfiltered().info(
        "audit",
        _event=event,
        method=call.method[:LONGEST_METHOD],
        peer=call.peer,
        subject=call.subject,
        did=did,
        request_id=call.request_id,
    )
