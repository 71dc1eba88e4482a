"""Put several reports on one page: implementations beside each other, requirement by requirement.

Reports of different editions of the suite are welcome; the page says which requirements an edition
did not have.
"""

import argparse
import datetime as dt
from pathlib import Path

from ..harness import requirements
from ..harness.reports.matrix import matrix
from ..harness.reports.reading import ReportError, read

NAME = "matrix"

_OUT = {"html": Path("matrix.html"), "md": None}
"""Where a page goes unless it is told: HTML is nothing to print at a terminal."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "reports", nargs="+", type=Path, metavar="REPORT", help="a report.json, or its directory"
    )
    parser.add_argument("--format", choices=list(_OUT), default="html", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: matrix.html; Markdown is printed"
    )


def run(options: argparse.Namespace) -> int:
    """Write or print the page."""
    out: Path | None = options.out or _OUT[options.format]
    made = matrix(
        {path: read(path) for path in options.reports},
        requirements.load(),
        now=dt.datetime.now(dt.UTC),
        beside=(out or Path()).parent,
    )
    text = made.html() if options.format == "html" else made.markdown()
    if out is None:
        print(text, end="")
        return 0
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{out} cannot be written: {error.strerror}") from error
    print(out)
    return 0
