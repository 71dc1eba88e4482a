"""What a handler may ask about the call that it serves, wherever it stands.

The pipeline says it once at the beginning of a call; tasks that the handler
begins inherit it.
"""

from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
SUBJECT: ContextVar[str] = ContextVar("subject", default="")


def request_id() -> str:
    """Return the request ID of the call that is served; empty outside of one."""
    return REQUEST_ID.get()


def subject() -> str:
    """Return the subject of the caller's token; empty where callers have none."""
    return SUBJECT.get()
