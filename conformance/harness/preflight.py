"""The preflight: can this implementation be started at all?

Runs once, before any test, so that a broken adapter is told once and exactly,
and not by every test in its own words. `--smoke` is the preflight alone, with
each step shown.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from . import bounds
from .driver import Driver
from .identity import Identity
from .implementation import Implementation
from .judging import Inconclusive, NonConformance
from .nodes import LONGEST_SOCKET, Node
from .processes import Process

LONGEST_NAME = len("/bh12345678/s/.p1234@10.20.30-rc.1.sock")
"""What the suite's own directories add to the path of the working directory."""


async def preflight(
    implementation: Implementation,
    workdir: Path,
    start_timeout: float,
    *,
    full: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> str | None:
    """Start what is claimed and ask for its health; with `full`, also use and stop it.

    That is the identity service, the driver where the client role is claimed, and the driver
    alone where no service is.

    Args:
        implementation: what to start.
        workdir: where the node's directories go.
        start_timeout: seconds for each process to become ready.
        full: whether to go on after SERVING.
        tell: is told each step that worked.

    Returns:
        None, or what went wrong: the step, the exact command, exit status and streams.

    Raises:
        ManifestError: the system refuses to execute the command.
    """
    node = Node(implementation, workdir, start_timeout)
    client = "client" in implementation.profiles
    try:
        try:
            await bounds.JITTER.measure()
            if "service" in implementation.profiles or not client:
                await _try(await node.start(), "created a DID and resolved it", tell, full=full)
            if client:
                await _try(await node.drive(), "a call reached a peer", tell, full=full)
        finally:
            await node.close()
    except NonConformance as problem:
        return f"{problem.what}: expected {problem.expected}, observed {problem.observed}"
    except Inconclusive as problem:
        return str(problem)
    except OSError as error:
        return f"{error}\n{_story(node.processes)}"
    return None


async def _try(
    started: Identity | Driver, use: str, tell: Callable[[str], None], *, full: bool
) -> None:
    """Use a process that became ready, and stop it.

    Raises:
        NonConformance: it does not serve, or ends with a status other than 0.
    """
    tell(f"{started.NAME}: started, and SERVING at its socket")
    if not full:
        return
    await started.lives()
    tell(f"{started.NAME}: {use}")
    ended = await started.stop()
    if ended.status != 0:
        raise NonConformance(
            what=f"{started.NAME}: exit status after SIGTERM",
            expected=0,
            observed=f"{ended.status}\n{started.process.story()}",
        )
    tell(f"{started.NAME}: SIGTERM ended it with status 0")


def run_preflight(
    implementation: Implementation,
    workdir: Path,
    start_timeout: float,
    *,
    full: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> str | None:
    """Run the preflight outside of any event loop."""
    return asyncio.run(preflight(implementation, workdir, start_timeout, full=full, tell=tell))


def workdir_problem(workdir: Path) -> str | None:
    """Return why sockets cannot live below a directory, None if they can."""
    if not workdir.is_dir():
        return f"--workdir: there is no directory {workdir}"
    length = len(str(workdir.resolve()).encode()) + LONGEST_NAME
    if length > LONGEST_SOCKET:
        return (
            f"--workdir: sockets below {workdir} would have paths of {length} bytes;"
            f" a Unix socket's is {LONGEST_SOCKET} at most: give a shorter --workdir"
        )
    return None


def _story(processes: list[Process]) -> str:
    return "\n".join(process.story() for process in processes)
