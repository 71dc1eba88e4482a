"""Every claimed role, one after the other, up to the first broken rule."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from .. import bounds
from ..identity import Identity
from ..implementation import Implementation
from ..judging import NonConformance
from ..nodes import Node
from ..processes import TAIL
from .ready import by_hand, config_of
from .roles import PLATFORM, walk_driver, walk_orchestrator, walk_service, walk_tokens
from .rules import STOP
from .walk import Depth, Finding, Found, Step, Walk

Visit = tuple[str, Callable[[Walk, Node], Any]]
"""Transport of a node, and what is done on it."""


def visits(profiles: frozenset[str], depth: Depth) -> Iterator[Visit]:
    """Yield what is walked for these claims."""
    whole = depth is Depth.WHOLE
    if "service" in profiles or not profiles & {"client", "orchestrator"}:
        yield "unix", partial(walk_service, kind=Identity, depth=depth)
    if whole and "platform" in profiles:
        for kind in PLATFORM[1:]:
            yield "unix", partial(walk_service, kind=kind, depth=depth)
    if whole and "remote" in profiles:
        yield "tcp", partial(walk_service, kind=Identity, depth=depth)
    if whole and "security" in profiles:
        yield "unix", walk_tokens
    if "client" in profiles:
        yield "unix", partial(walk_driver, depth=depth)
    if "orchestrator" in profiles:
        yield "unix", partial(walk_orchestrator, depth=depth)


async def examine(  # noqa: PLR0913 - how far to go is said by these
    implementation: Implementation,
    workdir: Path,
    start_timeout: float,
    depth: Depth,
    *,
    tell: Callable[[Step], object] = lambda _: None,
    keep: Path | None = None,
) -> Finding | None:
    """Walk what is claimed; return the first broken rule, None where there is none.

    Args:
        implementation: what is started.
        workdir: where nodes make their directories.
        start_timeout: seconds for each process to become ready.
        depth: how far each role is walked.
        tell: is told each step that worked.
        keep: where the configuration of a process goes that broke a rule.

    Raises:
        ManifestError: the system refuses to execute the command.
        Inconclusive: the host stalled.
    """
    await bounds.JITTER.measure()
    walk = Walk(tell)
    try:
        for transport, visit in visits(implementation.profiles, depth):
            node = Node(implementation, workdir, start_timeout, transport)
            async with _closing(walk, node, keep):
                await visit(walk, node)
    except Found as found:
        return found.finding
    return None


@asynccontextmanager
async def _closing(walk: Walk, node: Node, keep: Path | None) -> AsyncIterator[None]:
    """Close a node; where a rule was broken, keep what its process was started with."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Found):
            _explain(error.finding, node, keep)
        for process in node.processes:
            await process.kill()
        # What is left behind now is no news.
        with suppress(NonConformance):
            await node.close()
        raise
    async with walk.step("nothing is left behind", STOP):
        await node.close()


def _explain(finding: Finding, node: Node, keep: Path | None) -> None:
    """Add to a finding what only the node knows."""
    if not node.processes:
        return
    process = node.processes[-1]
    finding.story = process.story()
    printed = (process.stdout + process.stderr).splitlines()
    finding.printed = "\n".join(printed[-TAIL:])
    then = list(finding.then)
    if keep is not None and node.transport == "unix" and not node.metadata:
        keep.mkdir(parents=True, exist_ok=True)
        config = shutil.copy(config_of(process), keep / "config.json")
        then.append(f"start it by hand: {by_hand(node, process, Path(config).resolve())}")
    finding.then = then


def run_examination(*arguments: Any, **how: Any) -> Finding | None:
    """Walk outside of any event loop; see `examine`."""
    return asyncio.run(examine(*arguments, **how))
