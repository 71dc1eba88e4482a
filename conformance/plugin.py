"""The installed suite as pytest finds it: `pytest --pyargs conformance --impl=PATH`, anywhere.

Options that a conftest.py declares are known only where pytest is given its directory by path. So
an installed suite brings this plugin into every pytest of its environment: where the suite is
named it takes in the suite's own plugins, and else it does nothing.
"""

from collections.abc import Sequence

import pytest

SUITE = "conformance"
"""Name of the package that holds the tests."""

PLUGINS = (
    "conformance.harness.judge",
    "conformance.harness.sharding",
    "conformance.harness.reporting",
    "conformance.harness.options",
    "conformance.harness.settings",
    "conformance.harness.ending",
    "conformance.harness.fixtures",
    "conformance.harness.fixtures_client",
    "conformance.harness.fixtures_faults",
    "conformance.harness.fixtures_platform",
    "conformance.harness.fixtures_security",
)
"""What the suite is made of, as pytest sees it."""


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: Sequence[str]) -> None:
    """Take in the suite's plugins where it is named as a package, while options can be added."""
    if early_config.known_args_namespace.pyargs and any(map(names_the_suite, args)):
        for name in PLUGINS:
            early_config.pluginmanager.import_plugin(name)


def names_the_suite(word: str) -> bool:
    """Tell whether a word of the command line is the suite, or one of its modules or tests."""
    return word.partition("::")[0].partition(".")[0] == SUITE
