"""A report of saved benchmarks, by one command.

Reads runs that `pytest benchmarks/ --benchmark-save` saved; writes report.html, which needs nothing
besides itself, and its pictures as PNG; prints the summary as Markdown. Several runs are compared.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

UNUSABLE = 2
"""Exit status where no report can be made of what was given."""

STORAGE = Path(".benchmarks")
"""Where pytest-benchmark saves runs unless it is told otherwise."""

OUT = STORAGE / "report"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the report; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="saved runs; default: the newest one"
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="DIR", help="where to; default: %(default)s"
    )
    parser.add_argument(
        "--storage",
        type=Path,
        default=STORAGE,
        metavar="DIR",
        help="where the newest run is looked for; default: %(default)s",
    )
    options = parser.parse_args(arguments)
    try:
        from .making import BadInputError, make, newest  # noqa: PLC0415 - nothing else needs its libraries
    except ModuleNotFoundError as error:
        return _refuse(f"{error.name} is not installed: pip install -e '.[bench]'")
    try:
        print(make(options.files or [newest(options.storage)], options.out))
    except BadInputError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{options.out} cannot be written: {error.strerror}")
    print(f"\n{options.out / 'report.html'}", file=sys.stderr)
    return 0


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
