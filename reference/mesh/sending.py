"""Sending to a caller that may be gone."""

import asyncio
from collections.abc import Awaitable

import grpc


async def sent(sending: Awaitable[None]) -> None:
    """Send something on a call that is served.

    Args:
        sending: of gRPC's context: `write` or `send_initial_metadata`.

    Raises:
        CancelledError: nothing can be sent on it any more. gRPC is about to cancel the call
            for the same reason, and says it sometimes in one order, sometimes in the other.
    """
    try:
        await sending
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error
