"""What the way it is run alone changes: the reference and bare servers as they come, and for speed.

For speed is what `fixtures/implementations/reference-fast.toml` says: another poller of gRPC's, an
allocator that keeps the memory of large messages, and threads that do not interrupt each other; the
last of it is for the reference alone, bare servers have the environment. The client is the same.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conformance.harness.addresses import Address
from conformance.harness.events import Events

from .arms import Floors, dial
from .asking import Arms, Case, Question
from .callers import bare_caller, publisher
from .placement import Placement
from .served import MeasuredNode, Served, running_floors
from .speed import NOT_RUN, for_speed

SIZES = {"64B": 64, "64KiB": 1 << 16, "1MiB": 1 << 20}

FAST = "fast-"
"""Before the names of arms that are configured for speed."""

SERVICE = ("unix", "unix-again", "tls", "fast-unix", "fast-tls")
BARE = ("bare-unix", "bare-tcp", "fast-bare-unix", "fast-bare-tcp")


@pytest.fixture(scope="module")
async def speedy(
    node: MeasuredNode, events: Served, floors: Floors, placement: Placement
) -> AsyncIterator[dict[str, Address]]:
    """Where all arms are: two events services, and two bare servers."""
    node.is_reference()
    if (fast := for_speed()) is None:
        pytest.skip(NOT_RUN)
    with (
        tempfile.TemporaryDirectory(prefix="bh") as workdir,
        tempfile.TemporaryDirectory(prefix="bh") as directory,
        running_floors(Path(directory), placement, fast.env) as faster,
    ):
        beside = MeasuredNode(fast, Path(workdir), placement)
        service = await beside.served(Events)
        yield {
            **events.addresses,
            **{f"{FAST}{name}": address for name, address in service.addresses.items()},
            **floors.all_bare,
            **{f"{FAST}{name}": address for name, address in faster.all_bare.items()},
        }
        await beside.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("arm", [*SERVICE, *BARE])
def test_configured_for_speed(
    size: str, arm: str, speedy: dict[str, Address], question: Question
) -> None:
    """EventStream/Publish, and a bare server's answer, by what the environment says."""
    case = Case("configured for speed", size, bytes=SIZES[size])
    with ExitStack() as stack:

        def arms() -> Arms:
            return {
                name: (publisher if name in SERVICE else bare_caller)(
                    stack.enter_context(dial(speedy[name])), SIZES[size]
                )
                for name in (*SERVICE, *BARE)
            }

        question.tell(case, arms, arm, "unix" if arm in SERVICE else "bare-unix")
