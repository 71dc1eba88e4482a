"""Make one verdict of the reports of all shards of a run.

The verdict, the reports and the exit status are those of the run that was not cut. What judged the
shards must be this suite. Shards that are not of one run are refused, and so is what is not all of
it: nobody may take a shard that was lost for one that is green.
"""

import argparse
import hashlib
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from ..harness import evidence
from ..harness.places import SPECIFICATION
from ..harness.reports import merging, report_json, terminal, writing
from ..harness.reports.reading import ReportError, read
from ..harness.requirements import SpecificationError, load

NAME = "merge"


def declare(parser: argparse.ArgumentParser) -> None:
    """Add what it takes."""
    parser.add_argument(
        "reports", nargs="+", type=Path, metavar="REPORT", help="directory or file of each shard"
    )
    parser.add_argument(
        "--report", required=True, type=Path, metavar="DIR", help="where the one report goes"
    )
    parser.add_argument(
        "--incomplete",
        action="store_true",
        help="make do with the shards that there are: the verdict is partial at most",
    )
    parser.add_argument(
        "--specification", type=Path, default=SPECIFICATION, metavar="FILE", help=argparse.SUPPRESS
    )


def run(options: argparse.Namespace) -> int:
    """Merge; return the exit status of the whole run.

    Raises:
        ReportError: a report cannot be read, or they do not make up one run.
    """
    try:
        requirements = load(options.specification)
        text = options.specification.read_bytes()
    except (OSError, SpecificationError) as error:
        raise ReportError(str(error)) from error
    parts = [merging.part(path, read(path)) for path in options.reports]
    if options.report.resolve() in (_directory(one.file).resolve() for one in parts):
        raise ReportError(f"--report: {options.report} holds one of the shards")
    result = merging.merge(
        parts,
        requirements,
        suite=report_json.suite(),
        specification=hashlib.sha256(text).hexdigest(),
        incomplete=options.incomplete,
    )
    evidence.clear(options.report, requirements)
    for one in parts:
        _gather(one, options.report, requirements)
    problems = writing.write(result, options.report)
    for line, _ in terminal.summary(result, options.report / "report.html"):
        sys.stdout.write(f"{line}\n")
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    return result.exit_status


def _directory(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _gather(one: merging.Part, target: Path, requirements: Iterable[str]) -> None:
    """Copy what a shard has beside its report."""
    source = _directory(one.file)
    target.mkdir(parents=True, exist_ok=True)
    for name in requirements:
        if (found := source / name).is_dir():
            shutil.copytree(found, target / name, dirs_exist_ok=True)
    if (junit := source / "junit.xml").is_file():
        shutil.copyfile(junit, target / f"junit-{one.shard.number}.xml")
