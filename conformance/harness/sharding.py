"""Sharding: which tests of all of them this run judges, where pytest-split gives it a part.

A pytest plugin. The part is cut by pytest-split, in the order in which the judge left the tests:
that of the text, so that a chapter and what is shared in it stay together but at the two ends.
"""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from . import judge
from .reports.shard import Shard, Whole, name, whole

_WHOLE = pytest.StashKey[Whole]()

_KEY = "conformance_whole"
"""Under which a worker of `-n` tells it to the process that reports, which collects nothing."""


def begun(config: pytest.Config) -> Shard | None:
    """Return the shard that a run is told to be; None: it is all of them."""
    if not (number := getattr(config.option, "group", None)):
        return None
    text = Path(config.getoption("specification")).read_bytes()
    return Shard(number, config.option.splits, hashlib.sha256(text).hexdigest())


def complete(shard: Shard, config: pytest.Config) -> None:
    """Tell a shard which tests there are in all, as far as that is known."""
    shard.whole = config.stash.get(_WHOLE, shard.whole)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the tests that there were before one part of them was selected."""
    config = session.config
    if (tests := config.stash.get(judge.TESTS, None)) is None:
        return
    found = whole({name(nodeid): requirement for nodeid, requirement in tests.items()})
    config.stash[_WHOLE] = found
    if hasattr(config, "workeroutput"):
        config.workeroutput[_KEY] = found.tests, found.digest


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker found."""
    if told := getattr(node, "workeroutput", {}).get(_KEY):
        node.config.stash[_WHOLE] = Whole(*told)
