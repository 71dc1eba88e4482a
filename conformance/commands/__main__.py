"""The entry point of `blackhole-conformance` and of `python -m conformance.commands`."""

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from ..harness.implementation import ManifestError
from ..harness.reports.reading import ReportError
from . import diff, doctor, known_failures, matrix, merge, new, schema

COMMANDS: tuple[ModuleType, ...] = (new, doctor, merge, matrix, diff, known_failures, schema)
"""In the order in which the help shows them."""

WRONG_USE = 2
"""Exit status where what was given cannot be used, as argparse has it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    parser = argparse.ArgumentParser(prog="blackhole-conformance", description=_about(__package__))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        help_text = (module.__doc__ or "").partition("\n")[0]
        added = commands.add_parser(module.NAME, help=help_text, description=module.__doc__)
        module.declare(added)
        added.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (ManifestError, ReportError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return WRONG_USE


def _about(package: str | None) -> str:
    return (sys.modules[package or ""].__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
