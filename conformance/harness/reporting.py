"""Reporting: adds up the verdicts of all tests, writes the reports, sets the exit status.

A pytest plugin, at work in the process that reports; with `-n` the workers only run tests.
"""

import re
import time
from typing import Any

import pytest

from . import evidence, judge, outgoing, sharding
from .reports import shard, terminal, writing
from .reports.result import Result
from .sequences import SEQUENCES
from .strategies import EXAMPLES
from .verdicts import ExitStatus, Verdict

_RESULT = pytest.StashKey[Result]()
_BEGAN = pytest.StashKey[float]()
_TOLD = pytest.StashKey[list[str]]()
"""What could not be written."""

_KEPT_STATUSES = frozenset(
    {
        ExitStatus.INTERRUPTED,
        ExitStatus.INTERNAL_ERROR,
        ExitStatus.WRONG_USE,
        ExitStatus.NO_TESTS,
    }
)
"""Exit statuses of pytest's own that no verdict overrides."""

_TEST = re.compile(r"::test_(?P<chapter>[a-z]+)_(?P<number>\d+)_")


def begin(config: pytest.Config) -> None:
    """Set up the result and its files, once the options are known to be good."""
    if hasattr(config, "workerinput"):
        return
    directory = judge.report_directory(config)
    evidence.clear(directory, judge.specification(config))
    if not config.option.xmlpath:
        config.option.xmlpath = str(directory / "junit.xml")
    part = sharding.begun(config)
    config.stash[_RESULT] = result = Result(
        implementation=config.stash[judge.IMPLEMENTATION],
        version=config.stash[judge.VERSION],
        seed=config.stash[judge.SEED],
        requirements=judge.specification(config),
        narrowed=_narrowed(config) + ([str(part)] if part else []),
        shard=part,
        # pytest's own --strict; for the suite it also means that what was not run is red.
        strict=bool(config.getini("strict")),
    )
    config.stash[_BEGAN] = time.monotonic()
    config.pluginmanager.register(Collector(result), "conformance-collector")


def _narrowed(config: pytest.Config) -> list[str]:
    """Return the options that select some of the tests, or of their input, only."""
    # Some belong to plugins that may be switched off.
    selecting = ("keyword", "markexpr", "deselect", "lf", "ignore", "ignore_glob")
    narrowing = (*selecting, "maxfail", "stepwise")
    given = {name: getattr(config.option, name, None) for name in narrowing}
    found = [f"{name}: {value}" for name, value in given.items() if value]
    found += [word for word in config.args if "::" in word or word.endswith(".py")]
    if config.option.pyargs:
        # One module of the package, as `conformance.test_sock`.
        found += [word for word in config.args if "." in word and "::" not in word]
    if (examples := config.getoption("examples")) < EXAMPLES:
        found.append(f"examples: {examples} of {EXAMPLES}")
    if (sequences := config.getoption("sequences")) < SEQUENCES:
        found.append(f"sequences: {sequences} of {SEQUENCES}")
    return found


class Collector:
    """Adds what each test said."""

    def __init__(self, result: Result) -> None:
        """Start with nothing judged."""
        self._result = result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the last phase's report, which holds the verdict of all of them."""
        # Before pytest writes it: what a worker cleaned is clean, but not what tells of its death.
        outgoing.clean(report)
        outgoing.clean_name(report)
        said: dict[str, Any] = dict(report.user_properties)
        if "verdict" in said:
            said = vars(report)["case"] | {"requirement": said["requirement"]}
        else:
            match = _TEST.search(report.nodeid)
            if report.when in ("setup", "call", "teardown") or match is None:
                return
            # A worker process died in the middle of a test: nobody else tells.
            said = {
                "requirement": f"{match['chapter'].upper()}-{match['number']}",
                "verdict": str(Verdict.HARNESS_ERROR),
                "reason": str(report.longrepr),
                "seconds": 0.0,
            }
        self._result.take(shard.name(report.nodeid), said)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the reports, and set the exit status."""
    config = session.config
    if _RESULT not in config.stash or config.option.collectonly or config.getoption("smoke"):
        return
    result = config.stash[_RESULT]
    result.preflight = config.stash.get(judge.PREFLIGHT_FAILURE, "")
    result.seconds = time.monotonic() - config.stash[_BEGAN]
    status = int(session.exitstatus)
    if status == ExitStatus.WRONG_USE:
        return
    if result.shard is not None:
        sharding.complete(result.shard, config)
        if status == ExitStatus.NO_TESTS and result.shard.whole.tests:
            # There are more shards than tests, or fewer parts to be had.
            status = ExitStatus.OK
        result.shard.ended = status not in _KEPT_STATUSES
    if status in _KEPT_STATUSES:
        result.narrowed.append("the run did not come to its end")
        result.stopped = ExitStatus(status)
    result.complete()
    session.exitstatus = result.exit_status
    config.stash[_TOLD] = writing.write(result, judge.report_directory(config))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Show a verdict a requirement, and what they amount to."""
    config = terminalreporter.config
    if _RESULT not in config.stash or config.option.collectonly or config.getoption("smoke"):
        return
    result, directory = config.stash[_RESULT], judge.report_directory(config)
    if exitstatus == ExitStatus.WRONG_USE:
        return
    terminalreporter.section(f"verdicts on {result.implementation.name}")
    if not result.judged:
        terminalreporter.write_line("no tests were selected: nothing was judged", red=True)
    for text, markup in terminal.summary(result, directory / "report.html"):
        terminalreporter.write_line(text, **markup)
    for problem in config.stash.get(_TOLD, []):
        terminalreporter.write_line(problem, red=True)
    if failure := config.stash.get(judge.PREFLIGHT_FAILURE, ""):
        terminalreporter.section("the implementation did not become ready; nothing was judged")
        terminalreporter.write_line(failure)
