"""`--benchmark-save` without a name: the run is saved under the implementation's, and its commit's.

What was not measured is saved with it.

Loaded by the project's configuration before pytest reads its command line.
"""

import argparse
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

UNNAMED = "\0unnamed"
"""What the option holds until the implementation is known; nobody can give this name."""

_BENCHMARK = "pytest_benchmark.plugin"
_OPTION = "--benchmark-save"


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    """Let the option stand alone, once the plugin that it belongs to has declared it."""
    if getattr(plugin, "__name__", "") == _BENCHMARK:
        manager.register(_Optional(), "blackhole-benchmark-save")


class _Optional:
    """Is given the parser as soon as it is registered."""

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        """Make the option's value optional."""
        for option in parser.getgroup("benchmark").options:
            if _OPTION in option.names():
                attributes = option.attrs()
                checked = partial(_name, attributes["type"])
                attributes.update(nargs="?", const=UNNAMED, metavar="NAME", type=checked)
                return
        raise pytest.UsageError(f"pytest-benchmark has no {_OPTION} any more")


def _name(check: Callable[[str], str], text: str) -> str:
    """Check a name, and tell a path that was not meant as one."""
    if Path(text).exists():
        raise argparse.ArgumentTypeError(
            f"{text!r} is a path, not a name: write {_OPTION} after the paths, or {_OPTION}=NAME"
        )
    return check(text)


def name_of(implementation: str, directory: Path) -> str:
    """Return the name of a run: of the implementation, and of the commit that its directory is at.

    Args:
        implementation: as its manifest names it.
        directory: where its command runs; what is changed there and not committed is told by a `+`.
    """
    try:
        commit = _git(directory, "rev-parse", "--short=10", "HEAD")
        changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return f"{implementation}-no-commit"
    return f"{implementation}-{commit}{'+' if changed else ''}"


def not_run(terminal: Any) -> list[dict[str, str]]:
    """Return the tests that measured nothing, each with its reason.

    Args:
        terminal: pytest's reporter, which has collected how the tests ended.
    """
    skipped = [
        {"test": one.nodeid, "reason": str(one.longrepr[2]).removeprefix("Skipped: ")}
        for one in terminal.stats.get("skipped", ())
    ]
    failed = [
        {"test": one.nodeid, "reason": f"FAILED: {_first_line(one)}"}
        for kind in ("failed", "error")
        for one in terminal.stats.get(kind, ())
    ]
    return skipped + failed


def _first_line(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else str(report.longrepr)).splitlines()
    return lines[0] if lines else "no reason"


def _git(directory: Path, *words: str) -> str:
    command = ("git", "-C", str(directory), *words)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()
