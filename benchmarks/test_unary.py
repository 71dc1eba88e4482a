"""A unary call by the size of its request, over each transport, beside the least it can cost."""

from contextlib import ExitStack

import pytest

from .arms import BARE, RAW, SAYS, Floors, bases, dial
from .asking import Arms, Case, Question
from .callers import bare_caller, publisher
from .served import Served

PAYLOADS = {"64B": 64, "1KiB": 1 << 10, "64KiB": 1 << 16, "1MiB": 1 << 20}


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("arm", SAYS)
def test_unary(payload: str, arm: str, events: Served, floors: Floors, question: Question) -> None:
    """EventStream/Publish of an event that nobody subscribes to: nothing is stored."""
    events.has(arm)
    size = PAYLOADS[payload]
    with ExitStack() as stack:

        def arms() -> Arms:
            return {
                **{
                    name: publisher(stack.enter_context(dial(address)), size)
                    for name, address in events.addresses.items()
                },
                **{
                    name: bare_caller(stack.enter_context(dial(floors.bare(name))), size)
                    for name in BARE
                },
                **{name: stack.enter_context(floors.raw(name, bytes(size))) for name in RAW},
            }

        case = Case("unary call", payload, bytes=size)
        question.tell(case, arms, arm, *bases(arm))
