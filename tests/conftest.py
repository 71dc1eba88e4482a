"""Tests of our own code: a pytest inside of pytest, for those of the judge."""

pytest_plugins = ["pytester"]
