"""Benchmarks as pytest sees them: their options, and what is measured."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from conformance.harness.events import Events
from conformance.harness.identity import Identity
from conformance.harness.implementation import Implementation, ManifestError, find, load
from conformance.harness.ledger import Ledger
from conformance.harness.requirements import load as requirements
from conformance.harness.storage import Storage

from .arms import Floors
from .asking import CLOCK, Asked, Question
from .placement import Placement
from .saving import UNNAMED, name_of, not_run
from .served import MeasuredNode, Served, running_floors

IMPLEMENTATION = pytest.StashKey[Implementation]()
VERSION = pytest.StashKey[str]()

TRIAL = 0.01
"""Seconds an arm with --benchmark-disable: everything is called, and nothing is measured."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare which implementation is measured."""
    parser.getgroup("benchmark").addoption(
        "--impl",
        metavar="NAME|PATH",
        default="reference",
        help="implementation to measure: a known name or a manifest; default: %(default)s",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the manifest, and name a run that is to be saved without a name.

    Raises:
        pytest.UsageError: the manifest cannot be used.
    """
    if config.getoption("help") or config.getoption("version"):
        return
    try:
        implementation = load(find(config.getoption("impl")), requirements())
        if not config.option.collectonly:
            implementation.run_build()
            config.stash[VERSION] = implementation.version()
    except ManifestError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[IMPLEMENTATION] = implementation
    if config.option.benchmark_save == UNNAMED:
        config.option.benchmark_save = name_of(implementation.name, implementation.cwd)


def pytest_report_header(config: pytest.Config) -> str:
    """Name what is measured."""
    implementation = config.stash[IMPLEMENTATION]
    return f"implementation: {implementation.name} {config.stash.get(VERSION, '')}; {Placement()}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let every benchmark tell its times by the clock that was wound."""
    item.add_marker(pytest.mark.benchmark(timer=CLOCK.read))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask about new connections last.

    Thousands of them leave a client that takes 10 to 30 us more of its own CPU a call, most of it
    where the server is fast: all else would be measured by another client than in a run without.
    """
    items.sort(key=lambda item: item.path.stem == "test_connection")


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Save what was measured with the figures."""
    implementation = config.stash[IMPLEMENTATION]
    output_json["implementation"] = {
        "name": implementation.name,
        "version": config.stash[VERSION],
        "language": implementation.language,
        "placement": str(Placement()),
    }
    output_json["client"] = {"grpcio": grpc.__version__}
    output_json["not_run"] = not_run(config.pluginmanager.get_plugin("terminalreporter"))


@pytest.fixture(scope="session")
def asked(pytestconfig: pytest.Config) -> Asked:
    """What was measured so far; each arm for as long as --benchmark-max-time says."""
    option = pytestconfig.option
    if option.benchmark_disable:
        return Asked(TRIAL, 2)
    return Asked(float(option.benchmark_max_time), int(option.benchmark_min_rounds))


@pytest.fixture
def question(benchmark: BenchmarkFixture, asked: Asked) -> Question:
    """What measures, and hands an arm's times to pytest-benchmark."""
    return Question(benchmark, asked)


@pytest.fixture(scope="session", autouse=True)
def placement() -> Iterator[Placement]:
    """Measure on one CPU, and have what is measured on the others."""
    placement = Placement()
    placement.take()
    yield placement
    placement.give_back()


@pytest.fixture(scope="session")
async def node(pytestconfig: pytest.Config, placement: Placement) -> AsyncIterator[MeasuredNode]:
    """A node of the implementation's, in which nothing runs before it is asked for."""
    implementation = pytestconfig.stash[IMPLEMENTATION]
    with tempfile.TemporaryDirectory(prefix="bh") as workdir:
        node = MeasuredNode(implementation, Path(workdir), placement)
        yield node
        await node.close()


@pytest.fixture(scope="session")
def floors(placement: Placement) -> Iterator[Floors]:
    """Bare servers and raw sockets, in a process of their own."""
    with (
        tempfile.TemporaryDirectory(prefix="bh") as directory,
        running_floors(Path(directory), placement) as found,
    ):
        yield found


@pytest.fixture(scope="session")
async def identity(node: MeasuredNode) -> Served:
    """The identity service."""
    return await node.served(Identity)


@pytest.fixture(scope="session")
async def events(node: MeasuredNode) -> Served:
    """The events service."""
    return await node.served(Events)


@pytest.fixture(scope="session")
async def ledger(node: MeasuredNode) -> Served:
    """The ledger."""
    return await node.served(Ledger)


@pytest.fixture(scope="session")
async def storage(node: MeasuredNode) -> Served:
    """The storage service."""
    return await node.served(Storage)
