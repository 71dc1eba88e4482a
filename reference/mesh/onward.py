"""Calls that a service makes for the sake of the call that it serves.

What the caller gave goes along: the deadline that is left, and the request ID
(FLOW-3). Where the outer call is cancelled, its task is, and the inner one with
it (FLOW-4).
"""

from typing import Any

from .calls import REQUEST_ID, current_call
from .client import ServiceClient
from .dialling import Method
from .errors import DomainError, UnavailableError
from .outgoing import CallError
from .telemetry.logging import logger


async def call_onward(
    client: ServiceClient, service: str, method: Method, request: Any, context: Any
) -> Any:
    """Call a service, and return its answer.

    Args:
        client: of this process.
        service: its name.
        method: of one request and one answer.
        request: the message.
        context: gRPC's of the outer call.

    Raises:
        CallError: the service refused the call; how it did is for the one who called it.
        UnavailableError: nobody answered: the outer call may be tried again, as a whole.
    """
    request_id = current_call().request_id
    try:
        response = await client.call(
            service,
            method,
            request,
            timeout=context.time_remaining(),
            metadata=((REQUEST_ID, request_id),) if request_id else (),
        )
    except CallError as error:
        if not unanswered(error):
            raise
        logger().warning(
            f"{service} did not answer",
            method=method.path,
            request_id=request_id,
            code=error.code,
            reason=error.message,
        )
        raise UnavailableError(f"{service} is not available") from error
    return response.message


REFUSALS = frozenset(("ALREADY_EXISTS", "INVALID_ARGUMENT", "NOT_FOUND"))
"""Codes by which a service says something about what it was asked."""


def unanswered(error: CallError) -> bool:
    """Tell whether a call failed for a reason that lies not in what was asked.

    Discovery's NOT_FOUND is such a reason: there is no such service, for now.
    """
    return error.code not in REFUSALS or isinstance(error.__cause__, DomainError)
