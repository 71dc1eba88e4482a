"""The reference's own mesh client beside a bare stub: the same call, from the same event loop."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from blackhole.config.v1.config_pb2 import NodeConfig
from reference.config.client import client
from reference.mesh.dialling import Method
from reference.mesh.joined import joined

from . import floors as floor
from .arms import BOUND, Floors, dial_async
from .asking import AsyncArms, Case, Question
from .interleaved import BLOCK
from .served import MeasuredNode

STUB, STUB_AGAIN, MESH = "stub", "stub-again", "mesh"

PAYLOAD = bytes(64)

UNARY = Method(floor.UNARY, False, False, bytes, bytes)


@pytest.mark.parametrize("arm", [STUB, STUB_AGAIN, MESH])
async def test_mesh_client(
    arm: str, node: MeasuredNode, floors: Floors, question: Question
) -> None:
    """A unary call by discovery, pool, breaker, retry and default deadline, to a bare server."""
    node.is_reference()
    case = Case("mesh client", "64B", bytes=len(PAYLOAD))
    settings = client(NodeConfig(socket_dir=str(floors.directory)))
    async with AsyncExitStack() as stack:
        mesh = (await stack.enter_async_context(joined(settings))).client
        stubs: list[Any] = [
            (await stack.enter_async_context(dial_async(floors.bare("bare-unix")))).unary_unary(
                floor.UNARY
            )
            for _ in range(2)
        ]

        async def by_mesh() -> None:
            answer = await mesh.call(floor.NAME, UNARY, PAYLOAD)
            assert answer.message == floor.DONE

        def by_stub(stub: Any) -> Any:
            async def call() -> None:
                assert await stub(PAYLOAD, timeout=BOUND) == floor.DONE

            return call

        def arms() -> AsyncArms:
            return {STUB: by_stub(stubs[0]), STUB_AGAIN: by_stub(stubs[1]), MESH: by_mesh}

        await question.tell_async(case, arms, arm, STUB, block=BLOCK)
