"""The suite as pytest sees it: its options, its judge, its reports, its fixtures."""

from conformance.plugin import PLUGINS

pytest_plugins = list(PLUGINS)
