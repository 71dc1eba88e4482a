"""Walk the launch contract step by step, and stop at the first rule that is broken.

Each claimed role is started, looked at, used and ended as the suite does it, and every exchange is
shown. What is wrong is told with the rule's own text, what was expected and seen, and what that
usually comes from. Exit status: 0, or 8 where a rule is broken.
"""

import argparse
import tempfile
from pathlib import Path

from ..harness import requirements
from ..harness.doctor.consultation import consult
from ..harness.implementation import ManifestError, find, load
from ..harness.preflight import workdir_problem

NAME = "doctor"


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("manifest", metavar="MANIFEST", help="a path, or a known name")
    parser.add_argument("--start-timeout", type=float, default=10.0, metavar="S")
    parser.add_argument("--workdir", type=Path, default=Path(tempfile.gettempdir()), metavar="DIR")


def run(options: argparse.Namespace) -> int:
    """Build it, and walk it."""
    implementation = load(find(options.manifest), requirements.load())
    if problem := workdir_problem(options.workdir):
        raise ManifestError(problem)
    implementation.run_build()
    keep = Path(".conformance") / implementation.name / "doctor"
    return consult(implementation, options.workdir, options.start_timeout, keep=keep)
