"""The reference's own server pipeline, stage by stage, beside a bare server and the stock way."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import takewhile

import pytest

from .asking import Arms, AsyncArms, Case, Question
from .native import Load, h2load
from .piped import Servers, serving
from .pipeline import AGAIN, BARE, ROWS, STOCK, WHOLE
from .placement import Placement
from .served import MeasuredNode
from .speed import NOT_RUN, for_speed

CALLERS = 64
"""Calls at once, under native load."""

FAST = "fast-"
"""Before the names of servers in a process that is configured for speed."""

FASTER = (f"{FAST}{BARE}", f"{FAST}{WHOLE}")

LOADED = (BARE, AGAIN, WHOLE, STOCK)


NO_STOCK = "NOT RUN: the stock way needs opentelemetry-instrumentation-grpc"

COLLECTORS = ("up", "up-again", "down", "slow", "gone")
"""What becomes of the spans: they are taken, nobody listens, a batch takes SLOW, or the collector
is killed once it has taken some. The second of the first kind tells how far to trust the rest."""

SLOW = 30.0
"""Seconds for a batch: longer than it is waited for."""


@pytest.fixture(scope="module")
def servers(node: MeasuredNode, placement: Placement) -> Iterator[Servers]:
    """Servers in two processes: as they come, and configured for speed."""
    node.is_reference()
    with serving(placement) as servers:
        port = servers.collector("up")
        servers.serve("", port)
        if (fast := for_speed()) is not None:
            # What is before the interpreter decides how the processes are run.
            before = tuple(takewhile(lambda word: word != sys.executable, fast.command))
            servers.serve(FAST, port, env=fast.env, before=before)
        yield servers


@pytest.fixture(scope="module")
def traced(node: MeasuredNode, placement: Placement) -> Iterator[Servers]:
    """Servers with the whole pipeline, a process each, by what becomes of their spans."""
    node.is_reference()
    with serving(placement) as servers:
        ports = {
            "up": servers.collector("up"),
            "slow": servers.collector("slow", delay=SLOW),
            "gone": servers.collector("gone"),
            "down": servers.unused_port(),
        }
        ports["up-again"] = ports["up"]
        for name in COLLECTORS:
            servers.serve(f"{name}-", ports[name], only=WHOLE)
        yield servers


@pytest.mark.parametrize("row", [*ROWS, *FASTER])
def test_pipeline(row: str, servers: Servers, question: Question) -> None:
    """A unary call of 64 bytes, with the same token for all."""
    servers.has(row, NOT_RUN if row in FASTER else NO_STOCK)
    case = Case("pipeline", "64B", bytes=64)
    with ExitStack() as stack:

        def arms() -> Arms:
            return {
                name: servers.caller(stack, name)
                for name in (*ROWS, *FASTER)
                if servers.socket(name).exists()
            }

        question.tell(case, arms, row, BARE)


@pytest.mark.parametrize("row", LOADED)
async def test_pipeline_under_load(row: str, servers: Servers, question: Question) -> None:
    """The same under native load, 64 calls at once."""
    program = h2load()
    servers.has(row, NO_STOCK)
    case = Case("pipeline under native load", f"{CALLERS} callers", calls=Load.CALLS)

    def arms() -> AsyncArms:
        return {
            name: servers.load(program, name, CALLERS)
            for name in LOADED
            if servers.socket(name).exists()
        }

    await question.tell_async(case, arms, row, BARE)


@pytest.mark.parametrize("collector", COLLECTORS)
async def test_collector(collector: str, traced: Servers, question: Question) -> None:
    """The whole pipeline under native load, by what becomes of the spans of every call."""
    program = h2load()
    case = Case("collector of traces", f"{CALLERS} callers", calls=Load.CALLS)

    def arms() -> AsyncArms:
        loads = {name: traced.load(program, f"{name}-{WHOLE}", CALLERS) for name in COLLECTORS}
        return loads | {"gone": traced.once_killed("gone", loads["gone"])}

    await question.tell_async(case, arms, collector, "up")
