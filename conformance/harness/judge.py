"""The judge: finds each test's requirement, and turns what a test raises into a verdict.

A pytest plugin. Its verdicts travel with the test reports, from the process that
ran a test to the one that reports (`reporting`).
"""

import gc
import os
import re
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.outcomes import Skipped

from . import bounds, evidence, judging, known_failures, outgoing
from .failure_text import Failure
from .implementation import Implementation
from .judging import Inconclusive, NonConformance, NotRun, Untestable
from .places import RELEASES, SPECIFICATION
from .printable import printable
from .requirements import Requirement, SpecificationError, load
from .starvation import STARVATION, waited
from .verdicts import Verdict, of_test, worst

IMPLEMENTATION = pytest.StashKey[Implementation]()
"""What is judged."""

VERSION = pytest.StashKey[str]()
"""What it says of its version."""

SEED = pytest.StashKey[int]()
"""Seed of everything that is generated."""

PREFLIGHT_FAILURE = pytest.StashKey[str]()
"""Why nothing can be judged; absent when something can."""

TESTS = pytest.StashKey[dict[str, str]]()
"""The requirement of each test that options left, by node ID, in the order of the text."""

_REQUIREMENTS = pytest.StashKey[dict[str, Requirement]]()
_OWN = pytest.StashKey[Requirement]()
_PRESET = pytest.StashKey[tuple[Verdict, str]]()
_SAID = pytest.StashKey["_Said"]()

STALLED = 1.0
"""Seconds without a turn for the suite, or for the implementation, after which a failure is not
believed: whatever waits for the one or the other has waited for so long."""

_DOCSTRING = re.compile(r"(?P<id>[A-Z]+-\d+): \S")
_TYPES: dict[type[BaseException], Verdict] = {
    NonConformance: Verdict.FAIL,
    Untestable: Verdict.UNTESTABLE,
    NotRun: Verdict.NOT_RUN,
    Inconclusive: Verdict.INCONCLUSIVE,
}
_FAILED = frozenset({Verdict.FAIL, Verdict.WARN})
_LETTERS = {
    Verdict.WARN: "W",
    Verdict.NOT_CLAIMED: "n",
    Verdict.NOT_RUN: "s",
    Verdict.KNOWN_FAILURE: "k",
    Verdict.INCONCLUSIVE: "I",
    Verdict.UNTESTABLE: "U",
    Verdict.FAIL: "F",
    Verdict.HARNESS_ERROR: "E",
}


@dataclass(slots=True)
class _Said:
    """What was said of one test so far."""

    story: judging.Story
    began: float
    """On the monotonic clock."""
    waited: float
    """Seconds that the threads of this process had waited for a CPU by then."""
    verdicts: list[Verdict] = field(default_factory=list)
    failures: list[Failure | None] = field(default_factory=list)
    """What there is to tell of each."""
    seconds: float = 0.0

    def add(self, verdict: Verdict, failure: Failure | None) -> bool:
        """Add what a phase came to; tell whether it is worse than all before."""
        worse = all(verdict.rank > earlier.rank for earlier in self.verdicts)
        self.verdicts.append(verdict)
        self.failures.append(failure)
        return worse

    @property
    def final(self) -> tuple[Verdict, Failure | None]:
        """The worst verdict, and what there is to tell of it."""
        verdict = worst(self.verdicts)
        return verdict, self.failures[self.verdicts.index(verdict)]


class _Preset(Skipped):
    """The verdict of a test is known before it runs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of judging and reporting."""
    group = parser.getgroup("conformance")
    group.addoption(
        "--report", metavar="DIR", help="where reports go; default: .conformance/<implementation>/"
    )
    group.addoption(
        "--specification", metavar="FILE", default=str(SPECIFICATION), help="the normative text"
    )
    group.addoption(
        "--releases",
        metavar="DIR",
        default=str(RELEASES),
        help="the requirements of each release of it",
    )


def specification(config: pytest.Config) -> dict[str, Requirement]:
    """Return the requirements, read once.

    Raises:
        pytest.UsageError: the text breaks its form.
    """
    if _REQUIREMENTS not in config.stash:
        try:
            config.stash[_REQUIREMENTS] = load(Path(config.getoption("specification")))
        except (OSError, SpecificationError) as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_REQUIREMENTS]


def report_directory(config: pytest.Config) -> Path:
    """Return where reports and evidence go."""
    if given := config.getoption("report"):
        return Path(given)
    return Path(".conformance") / config.stash[IMPLEMENTATION].name


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Find each test's requirement, order the tests like the text, and preset verdicts.

    Raises:
        pytest.UsageError: a test names no requirement, or another in its name.
    """
    requirements = specification(config)
    profiles = config.stash[IMPLEMENTATION].profiles
    items[:] = [item for item in items if profiles.issuperset(_also(item))]
    order = list(requirements)
    problems: list[str] = []
    for item in items:
        try:
            item.stash[_OWN] = requirement_of(getattr(item, "obj", None), requirements)
        except ValueError as problem:
            problems.append(f"{item.nodeid}: {problem}")
    if problems:
        raise pytest.UsageError("\n".join(problems))
    items.sort(key=lambda item: order.index(item.stash[_OWN].id))
    config.stash[TESTS] = {item.nodeid: item.stash[_OWN].id for item in items}
    for item in items:
        if preset := _preset(config, item.stash[_OWN]):
            item.stash[_PRESET] = preset


def _also(item: pytest.Item) -> tuple[str, ...]:
    """Return the profiles that a test needs besides those of its requirement.

    Where they are not claimed there is no such test: its requirement is judged by its others.
    """
    return tuple(name for marker in item.iter_markers("also_profile") for name in marker.args)


def requirement_of(function: Any, requirements: dict[str, Requirement]) -> Requirement:
    """Return the requirement that a test is of.

    Raises:
        ValueError: it names none, or another in its name.
    """
    match = _DOCSTRING.match(function.__doc__ or "")
    if match is None:
        raise ValueError("its docstring does not begin with the ID of a requirement")
    if (requirement := requirements.get(match["id"])) is None:
        raise ValueError(f"there is no requirement {match['id']}")
    if not function.__name__.startswith(f"test_{requirement.expression.lower()}"):
        raise ValueError(f"its name does not begin with test_{requirement.expression.lower()}")
    return requirement


def _preset(config: pytest.Config, requirement: Requirement) -> tuple[Verdict, str] | None:
    implementation = config.stash[IMPLEMENTATION]
    if not implementation.claimed(requirement):
        missing = [name for name in requirement.profiles if name not in implementation.profiles]
        return Verdict.NOT_CLAIMED, f"profile {' and '.join(missing) or 'MAY'} is not claimed"
    if PREFLIGHT_FAILURE in config.stash:
        return Verdict.UNTESTABLE, "the implementation did not become ready in the preflight"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin the test's story; skip the body where the verdict is known."""
    item.stash[_SAID] = _Said(judging.begin(), time.monotonic(), waited(os.getpid()))
    if _PRESET in item.stash:
        raise _Preset(item.stash[_PRESET][1])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn what a phase of a test raised into a verdict, with evidence."""
    # Garbage that has something to say (a task whose exception nobody asked for) would format it in
    # the midst of pytest's own formatting, which Python 3.11 answers with a SystemError.
    gc.disable()
    try:
        report = yield
    finally:
        gc.enable()
    said = item.stash[_SAID]
    said.seconds += report.duration
    if call.excinfo is not None:
        verdict, error = _believed(*_classify(item, call.excinfo.value, call.when), said)
        verdict = of_test(verdict, item.stash[_OWN].level)
        _tell(report, item, verdict, error)
    elif call.when == "call":
        said.add(Verdict.PASS, None)
    if call.when == "teardown":
        _conclude(report, item, said)
    outgoing.clean(report)
    return report


def _conclude(report: pytest.TestReport, item: pytest.Item, said: _Said) -> None:
    """Let the last phase's report carry what was said of the test."""
    verdict, failure = said.final
    reason, requirement = failure.reason if failure else "", item.stash[_OWN]
    fingerprint = failure.fingerprint if failure and verdict in _FAILED else ""
    report.user_properties += [
        ("requirement", requirement.id),
        ("verdict", str(verdict)),
        ("reason", reason),
        ("fingerprint", fingerprint),
        ("seconds", round(said.seconds, 4)),
    ]
    case: dict[str, Any] = {
        "name": printable(item.nodeid.rpartition("/")[2]),
        "verdict": str(verdict),
        "reason": reason,
        "seconds": round(said.seconds, 4),
        "fingerprint": fingerprint,
    }
    directory = report_directory(item.config)
    place = evidence.place(directory, requirement, item.name)
    if failure and _evident(item, verdict, failure):
        case["evidence"] = place.relative_to(directory).as_posix()
        case["failure"] = {
            "did": list(failure.did),
            "looked_at": failure.looked_at,
            "expected": failure.expected,
            "observed": failure.observed,
            "again": failure.again,
        }
    # A dict, as that crosses from the process that judges to the one that reports.
    report.case = case  # type: ignore[attr-defined]


def _tell(report: pytest.TestReport, item: pytest.Item, verdict: Verdict, error: Any) -> None:
    """Make pytest's report of a phase say what the verdict says, and write the evidence."""
    requirement, said = item.stash[_OWN], item.stash[_SAID]
    failure = Failure.of(verdict, error, said.story, _again(item, requirement))
    worse = said.add(verdict, failure)
    place = evidence.place(report_directory(item.config), requirement, item.name)
    text = failure.text(requirement, place)
    if worse and _evident(item, verdict, failure):
        if verdict is Verdict.HARNESS_ERROR:
            judging.attach("traceback.txt", str(report.longrepr))
        evidence.write(place, requirement, item.name, said.story, text)
    _say(report, item, failure, error, text)


def _evident(item: pytest.Item, verdict: Verdict, failure: Failure) -> bool:
    """Tell whether there is something to show: that it was not to be run is told in a word."""
    return _PRESET not in item.stash and (verdict.red or bool(failure.looked_at))


def _say(
    report: pytest.TestReport, item: pytest.Item, failure: Failure, error: Any, text: str
) -> None:
    requirement, verdict = item.stash[_OWN], failure.verdict
    implementation = item.config.stash[IMPLEMENTATION]
    listed = [one for one in implementation.known_failures if one.id == requirement.id]
    excused = known_failures.excuse(listed, requirement.id, failure.fingerprint)
    if listed and excused is None and verdict is Verdict.WARN:
        verdict = Verdict.FAIL
    report.verdict = str(verdict)  # type: ignore[attr-defined]
    if isinstance(error, NonConformance):
        report.longrepr = text
    elif verdict is not Verdict.HARNESS_ERROR or not report.longrepr:
        report.longrepr = f"{requirement.id}  {requirement.title}\n  {verdict}: {error}"
    if verdict in _FAILED and excused is not None:
        report.verdict = str(Verdict.KNOWN_FAILURE)  # type: ignore[attr-defined]
        report.outcome = "skipped"
        report.wasxfail = f"known failure: {excused.reason}"
    elif verdict.red and requirement.id in implementation.later:
        report.outcome = "skipped"
        report.wasxfail = f"not scored: came after {implementation.release}"
    elif verdict.red:
        report.outcome = "failed"
    elif verdict is Verdict.WARN:
        report.outcome = "passed"
        report.sections.append(("warning", str(report.longrepr)))
        report.longrepr = None
    else:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"{verdict}: {error}")


def _classify(item: pytest.Item, error: BaseException, when: str) -> tuple[Verdict, BaseException]:
    """Return what an exception means, and the one that says so."""
    if isinstance(error, _Preset):
        return item.stash[_PRESET][0], error
    for one in _unpacked(error):
        for kind, verdict in _TYPES.items():
            if isinstance(one, kind):
                # What a test builds on is not what it judges.
                built_on = when == "setup" and verdict is Verdict.FAIL
                return (Verdict.UNTESTABLE if built_on else verdict), one
    return Verdict.HARNESS_ERROR, error


def _believed(verdict: Verdict, error: BaseException, said: _Said) -> tuple[Verdict, BaseException]:
    """Return a verdict; where the host kept either side from its part a failure is none."""
    if verdict is not Verdict.FAIL:
        return verdict, error
    stall, lasted = bounds.JITTER.worst(said.began), time.monotonic() - said.began
    # A stall of which it did not wait for a CPU is its own doing: it looked for a smaller example.
    if stall >= STALLED and waited(os.getpid()) - said.waited >= stall / 2:
        told = f"the host kept the suite from running for {stall:.1f} s"
    elif (starved := STARVATION.longest()) >= max(STALLED, lasted / 2):
        told = f"a thread of the implementation waited {starved:.1f} s for a CPU, in {lasted:.1f} s"
    else:
        return verdict, error
    doubted = Inconclusive(f"{told}; seen meanwhile: {error}")
    doubted.__cause__ = error
    return Verdict.INCONCLUSIVE, doubted


def _unpacked(error: BaseException) -> list[BaseException]:
    """Return an exception, or those in its group: hypothesis groups what it saw fail once."""
    if isinstance(error, BaseExceptionGroup):
        return [inner for one in error.exceptions for inner in _unpacked(one)]
    return [error]


def _again(item: pytest.Item, requirement: Requirement) -> str:
    config = item.config
    words = ["pytest --pyargs conformance" if config.option.pyargs else "pytest conformance/"]
    if config.getoption("impl"):
        words.append(f"--impl={config.getoption('impl')}")
    words += [f"--attach={text}" for text in config.getoption("attach")]
    words.append(f"-k {requirement.expression}")
    drawn = "chance" in getattr(item, "fixturenames", ())
    if drawn or hasattr(getattr(item, "obj", None), "hypothesis"):
        words.append(f"--hypothesis-seed={config.stash[SEED]}")
    return " ".join(words)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Show the verdict where pytest would show its own words."""
    if not (said := getattr(report, "verdict", None)):
        return None
    verdict = Verdict(said)
    category = "failed" if verdict.red and report.failed else said.lower()
    return category, _LETTERS.get(verdict, "?"), (said, {"red": verdict.red})
