"""Print the JSON Schema of report.json."""

import argparse

from ..harness.reports.report_json import SCHEMA

NAME = "schema"


def declare(_parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(_options: argparse.Namespace) -> int:
    """Print it as it is published."""
    print(SCHEMA.read_text(encoding="utf-8"), end="")
    return 0
