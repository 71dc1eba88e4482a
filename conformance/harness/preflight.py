"""The preflight: can this implementation be started at all?

Runs once, before any test, so that a broken adapter is told once and exactly,
and not by every test in its own words. `--smoke` is the preflight alone, with
each step shown; the doctor, of which both are a part, goes further.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from .doctor.examination import examine
from .doctor.telling import plain
from .doctor.walk import Depth, Step
from .implementation import Implementation
from .judging import Inconclusive
from .nodes import LONGEST_SOCKET

LONGEST_NAME = len("/bh12345678/s/.p1234@10.20.30-rc.1.sock")
"""What the suite's own directories add to the path of the working directory."""


async def preflight(
    implementation: Implementation,
    workdir: Path,
    start_timeout: float,
    depth: Depth = Depth.READY,
    *,
    tell: Callable[[Step], object] = lambda _: None,
) -> str | None:
    """Start what is claimed, and walk it as far as `depth` says.

    That is the identity service, the driver where the client role is claimed, the orchestrator
    where that is, and these alone where no service is.

    Args:
        implementation: what to start.
        workdir: where the node's directories go.
        start_timeout: seconds for each process to become ready.
        depth: how far each role is walked.
        tell: is told each step that worked.

    Returns:
        None, or what went wrong: the step, the rule, the exact command, exit status and streams.

    Raises:
        ManifestError: the system refuses to execute the command.
    """
    try:
        finding = await examine(implementation, workdir, start_timeout, depth, tell=tell)
    except (Inconclusive, OSError) as problem:
        return str(problem)
    return plain(finding) if finding else None


def run_preflight(
    implementation: Implementation,
    workdir: Path,
    start_timeout: float,
    depth: Depth = Depth.READY,
    *,
    tell: Callable[[Step], object] = lambda _: None,
) -> str | None:
    """Run the preflight outside of any event loop."""
    return asyncio.run(preflight(implementation, workdir, start_timeout, depth, tell=tell))


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
