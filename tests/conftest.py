"""Tests of our own code: a pytest inside of pytest, for those of the judge."""

import hypothesis

pytest_plugins = ["pytester"]

# How long an example takes is up to the host: a busy one took 0.3 s for what takes 10 ms.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")
