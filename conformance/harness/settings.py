"""Settings of pytest that the suite cannot do without, whatever the directory it runs in says.

In a checkout they stand in pyproject.toml too, for the tests of our own code. Elsewhere the
nearest pytest.ini is somebody else's, and made for somebody else's tests.
"""

from collections.abc import Mapping
from typing import Any

import pytest

SETTINGS: Mapping[str, Any] = {
    "asyncio_mode": "auto",
    "asyncio_default_fixture_loop_scope": "session",
    "asyncio_default_test_loop_scope": "session",
    "python_files": ["test_*.py"],
    "python_classes": ["Test"],
    "python_functions": ["test"],
    "usefixtures": [],
}
"""By name; what is not here may be set as anybody likes."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put the settings in force, before those who read them are configured."""
    # pytest has no public way for a plugin to give a setting a value.
    config._inicache.update(SETTINGS)  # noqa: SLF001
    if hasattr(config.option, "asyncio_mode"):
        config.option.asyncio_mode = SETTINGS["asyncio_mode"]
