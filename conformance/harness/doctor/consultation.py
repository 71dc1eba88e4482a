"""The doctor as a whole: `pytest … --doctor`, and `blackhole-conformance doctor`."""

import sys
from pathlib import Path
from typing import TextIO

from ..implementation import Implementation
from ..judging import Inconclusive
from ..verdicts import ExitStatus
from .examination import run_examination
from .telling import Teller
from .walk import Depth


def consult(
    implementation: Implementation,
    workdir: Path,
    start_timeout: float,
    *,
    keep: Path | None = None,
    out: TextIO | None = None,
) -> ExitStatus:
    """Walk every claimed role, and tell each step and the first broken rule.

    Args:
        implementation: what is started.
        workdir: where nodes make their directories.
        start_timeout: seconds for each process to become ready.
        keep: where the configuration of a process goes that broke a rule.
        out: where to tell; None: standard output.

    Raises:
        ManifestError: the system refuses to execute the command.
    """
    out = out or sys.stdout
    teller = Teller(out)
    print(
        f"{implementation.name} ({implementation.language}), claims:"
        f" {', '.join(implementation.claims)}",
        file=out,
    )
    try:
        finding = run_examination(
            implementation, workdir, start_timeout, Depth.WHOLE, tell=teller.step, keep=keep
        )
    except Inconclusive as stalled:
        print(f"\n{stalled}: try again", file=out)
        return ExitStatus.INCONCLUSIVE
    if finding is not None:
        teller.finding(finding)
        return ExitStatus.NOT_STARTED
    print("\nthe launch contract is kept", file=out)
    return ExitStatus.OK
