"""Sending on a call whose caller is gone ends it as cancelled, and is no error of ours."""

import asyncio

import grpc
import pytest

from reference.mesh.sending import sent


async def test_what_is_sent_is_sent() -> None:
    done: list[str] = []

    async def send() -> None:
        done.append("sent")

    await sent(send())

    assert done == ["sent"]


async def test_what_cannot_be_sent_is_a_cancelled_call() -> None:
    async def fail() -> None:
        raise grpc.aio.InternalError("execute_batch")

    with pytest.raises(asyncio.CancelledError):
        await sent(fail())
