"""Who is there when the orchestrator is not: the keeper, and services that were left running."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from reference.config.orchestrator import load
from reference.orchestrator.child import BARE, Child
from reference.orchestrator.keeping import Keeping
from reference.orchestrator.orphans import end_orphans

from .mesh_place import eventually
from .orchestrated import ACTOR, Orchestra, alive, kill, orchestra
from .serving import SOON, accepts

FOREVER = (*BARE, "-c", "import time; time.sleep(60)")


@asynccontextmanager
async def _child(command: Sequence[str], **limits: int) -> AsyncIterator[Child]:
    kinds = {getattr(resource, name): number for name, number in limits.items()}
    child = await Child.spawn(command, kinds)
    child.begin()
    try:
        yield child
    finally:
        child.signal_group(signal.SIGKILL)
        await child.ended()


async def test_cpu_time_that_is_used_up_ends_it() -> None:
    async with _child((*BARE, "-c", "while True: pass"), RLIMIT_CPU=1) as child:
        async with asyncio.timeout(SOON):
            assert await child.ended() == "ended by SIGKILL"


async def test_the_keeper_heeds_no_signal_of_a_terminal() -> None:
    keeping = await Keeping.begin(1.0)
    await _ignores(keeping.pid)
    for signal_ in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        kill(keeping.pid, signal_)
    async with _child(FOREVER) as child:
        keeping.add(child.pid)
        await keeping.end()
        assert await child.ended() == "ended by SIGTERM"


async def test_a_keeper_that_is_gone_is_replaced_and_knows_all_there_is() -> None:
    keeping = await Keeping.begin(1.0)
    async with _child(FOREVER) as kept, _child(FOREVER) as gone:
        for child in (kept, gone):
            keeping.add(child.pid)
        keeping.discard(gone.pid)
        first = keeping.pid

        kill(first)
        await eventually(lambda: keeping.pid != first)
        await keeping.end()

        assert await kept.ended() == "ended by SIGTERM"
        assert alive(gone.pid)


async def test_orphans_are_ended_whatever_version_they_have_and_with_their_groups() -> None:
    with orchestra(a=[], b=[], c=[]) as node:
        node.tell("a", "strays")
        node.tell("b@1.0.0", "deaf")
        node.settings["grace_period"] = "0.1s"
        async with _orphan(node, "a") as a, _orphan(node, "b", "1.0.0") as b, _orphan(node, "x"):
            await end_orphans(load(node.file))

            assert not alive(a.pid)
            assert not alive(b.pid)
            ((_, stray),) = node.noted("strays")
            assert not alive(stray)
            assert alive(node.started("x")[0])


async def test_an_orphan_that_leads_no_group_is_ended_alone() -> None:
    """It was started by hand: its group is that of this process."""
    with orchestra(a=[]) as node:
        node.tell("a", "deaf")
        node.settings["grace_period"] = "0.1s"
        async with _orphan(node, "a", start_new_session=False) as orphan:
            assert os.getpgid(orphan.pid) == os.getpgid(0)
            await end_orphans(load(node.file))
            assert not alive(orphan.pid)


@asynccontextmanager
async def _orphan(
    node: Orchestra, name: str, *version: str, start_new_session: bool = True
) -> AsyncIterator[asyncio.subprocess.Process]:
    words = ("--config", str(node.file), *(("--version", *version) if version else ()))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ACTOR), name, *words), start_new_session=start_new_session
    )
    try:
        await accepts(node.socket("@".join([name, *version])), process)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ignores(pid: int) -> None:
    """Wait until a process ignores SIGTERM."""

    def ignored() -> bool:
        status = Path(f"/proc/{pid}/status").read_text().split("SigIgn:\t")[1]
        return bool(int(status.split()[0], 16) >> (signal.SIGTERM - 1) & 1)

    await eventually(ignored)
