"""The suite's own options, and what is done with them before the first test."""

import math
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hypothesis
import pytest

from . import judge, reporting
from .doctor.consultation import consult
from .doctor.telling import Teller
from .doctor.walk import Depth
from .implementation import Implementation, ManifestError, find, load
from .preflight import run_preflight, workdir_problem
from .printable import printable
from .sequences import SEQUENCES
from .strategies import BODIES_A_ROUND, EXAMPLES
from .verdicts import ExitStatus

WORKDIR = pytest.StashKey[Path]()
"""Where nodes make their directories."""

ATTACHED = pytest.StashKey[dict[str, Path]]()
"""Sockets of services that the user started, by name."""

PROCESSES = 3
"""Processes that judge at once where there are two cores, unless `-n` says otherwise: tests wait
for a good part of their time, and with more of them the host's jitter becomes what is measured."""

_WORKER = "workerinput"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("conformance")
    group.addoption(
        "--impl", metavar="NAME|PATH", help="implementation to judge: a known name or a manifest"
    )
    group.addoption(
        "--attach",
        metavar="NAME=unix:///PATH",
        action="append",
        default=[],
        help="judge a service that already runs, say under a debugger",
    )
    group.addoption(
        "--smoke", action="store_true", help="only start, use and stop what is claimed, then end"
    )
    group.addoption(
        "--doctor",
        action="store_true",
        help="only walk the launch contract step by step, up to the first rule broken, then end",
    )
    group.addoption(
        "--no-preflight", action="store_true", help="run every test even if nothing starts"
    )
    group.addoption(
        "--start-timeout", type=float, default=10.0, metavar="S", help="seconds to become ready"
    )
    group.addoption(
        "--workdir", metavar="DIR", help="where nodes live; default: the temporary directory"
    )
    group.addoption(
        "--examples",
        type=int,
        default=EXAMPLES,
        metavar="N",
        help=f"request bodies a method (ERR-3); below {EXAMPLES} the verdict is partial at most",
    )
    group.addoption(
        "--every-cut",
        action="store_true",
        help="end connections after each byte of an exchange (FLT-5), and not at its frames alone",
    )
    group.addoption(
        "--sequences",
        type=int,
        default=SEQUENCES,
        metavar="N",
        help=f"sequences of faults (FLT-7); below {SEQUENCES} the verdict is partial at most",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Judge in several processes where there are cores, unless somebody wants to look inside."""
    option = config.option
    looks_inside = option.usepdb or option.collectonly or option.smoke or option.attach
    looks_inside = looks_inside or option.doctor
    alone = looks_inside or hasattr(config, _WORKER)
    if getattr(option, "numprocesses", 0) is None and not alone:
        option.numprocesses = PROCESSES if len(os.sched_getaffinity(0)) > 1 else 1


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the manifest and refuse what cannot be used, before any test.

    Raises:
        pytest.UsageError: says which option or field, and why.
    """
    if config.getoption("help") or config.getoption("version"):
        return
    for option, least in (
        ("examples", BODIES_A_ROUND),
        ("start_timeout", 0.1),
        ("sequences", 1),
    ):
        if not config.getoption(option) >= least:
            name = option.replace("_", "-")
            raise pytest.UsageError(f"--{name}: {config.getoption(option)} is less than {least}")
    workdir = Path(config.getoption("workdir") or tempfile.gettempdir())
    if problem := workdir_problem(workdir):
        raise pytest.UsageError(problem)
    config.stash[WORKDIR] = workdir
    config.stash[ATTACHED] = dict(_attached(text) for text in config.getoption("attach"))
    config.stash[judge.IMPLEMENTATION] = _implementation(config)
    _seed(config)
    transports = 2 if "remote" in config.stash[judge.IMPLEMENTATION].profiles else 1
    rounds = math.ceil(config.getoption("examples") / BODIES_A_ROUND / transports)
    hypothesis.settings.register_profile(
        "conformance",
        max_examples=rounds,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        # What fails is told whole: shrinking would call a service that misbehaves for minutes.
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("conformance")
    config.stash[judge.VERSION] = _once(config, "version", _version)
    reporting.begin(config)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Build, smoke, or run the preflight, once and not in every worker."""
    config = session.config
    if config.option.collectonly or config.stash[ATTACHED]:
        return
    if config.getoption("smoke"):
        _smoke(config)
    if config.getoption("doctor"):
        _doctor(config)
    if not config.getoption("no_preflight"):
        failure = _once(config, "preflight", _preflight)
        if failure:
            config.stash[judge.PREFLIGHT_FAILURE] = failure


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell an xdist worker what was found out once."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    node.workerinput["conformance"] = {  # type: ignore[attr-defined]
        "version": config.stash[judge.VERSION],
        "preflight": config.stash.get(judge.PREFLIGHT_FAILURE, ""),
        "seed": config.stash[judge.SEED],
    }


def pytest_report_header(config: pytest.Config) -> str:
    """Name what is judged, and how to see the same again."""
    implementation = config.stash[judge.IMPLEMENTATION]
    return (
        f"implementation: {implementation.name} {config.stash[judge.VERSION]}"
        f" ({implementation.language}), claims: {', '.join(implementation.claims)}\n"
        f"seed: {config.stash[judge.SEED]} (repeat with"
        f" --hypothesis-seed={config.stash[judge.SEED]})"
    )


def _implementation(config: pytest.Config) -> Implementation:
    name = config.getoption("impl")
    if not name and config.stash[ATTACHED]:
        return Implementation(
            name="attached", language="unknown", command=(), cwd=Path(), claims=("service",)
        )
    if not name:
        raise pytest.UsageError("--impl=NAME|PATH says which implementation to judge")
    try:
        frozen = Path(config.getoption("releases"))
        return load(find(name), judge.specification(config), frozen=frozen)
    except ManifestError as error:
        raise pytest.UsageError(str(error)) from error


def _attached(text: str) -> tuple[str, Path]:
    name, separator, target = text.partition("=")
    address = urlsplit(target)
    if not separator or name != "identity" or address.scheme != "unix" or not address.path:
        raise pytest.UsageError(f"--attach: {text!r} is not identity=unix:///PATH")
    if not Path(address.path).is_socket():
        raise pytest.UsageError(f"--attach: there is no socket {address.path}")
    return name, Path(address.path)


def _seed(config: pytest.Config) -> None:
    given = config.getoption("hypothesis_seed", None)
    if hasattr(config, _WORKER):
        given = _told(config)["seed"]
    config.stash[judge.SEED] = (
        int(given) if given not in (None, "random") else random.SystemRandom().randrange(1 << 32)
    )
    config.option.hypothesis_seed = str(config.stash[judge.SEED])


def _once(config: pytest.Config, what: str, find_out: Callable[[pytest.Config], str]) -> str:
    """Find something out in the controlling process, and only there."""
    if hasattr(config, _WORKER):
        return str(_told(config)[what])
    return find_out(config)


def _told(config: pytest.Config) -> dict[str, Any]:
    """Return what the controlling process told this worker of `-n`."""
    told: dict[str, Any] = getattr(config, _WORKER)["conformance"]
    return told


def _version(config: pytest.Config) -> str:
    implementation = config.stash[judge.IMPLEMENTATION]
    try:
        implementation.run_build()
        return printable(implementation.version())
    except ManifestError as error:
        raise pytest.UsageError(printable(str(error))) from error


def _preflight(config: pytest.Config) -> str:
    return _run_preflight(config) or ""


def _smoke(config: pytest.Config) -> None:
    implementation = config.stash[judge.IMPLEMENTATION]
    print(f"smoke test of {implementation.name}: {' '.join(implementation.command)}")
    failure = _run_preflight(config, depth=Depth.USED, tell=Teller(quiet=True).step)
    if failure:
        print(f"  FAIL  {failure}")
        pytest.exit("the adapter is broken: nothing was judged", ExitStatus.NOT_STARTED)
    pytest.exit("the adapter works: run without --smoke to judge it", ExitStatus.OK)


def _doctor(config: pytest.Config) -> None:
    keep = judge.report_directory(config) / "doctor"
    workdir, start_timeout = config.stash[WORKDIR], config.getoption("start_timeout")
    try:
        status = consult(config.stash[judge.IMPLEMENTATION], workdir, start_timeout, keep=keep)
    except ManifestError as error:
        raise pytest.UsageError(str(error)) from error
    pytest.exit("the doctor judges nothing: run without --doctor for that", status)


def _run_preflight(config: pytest.Config, **how: Any) -> str | None:
    try:
        failure = run_preflight(
            config.stash[judge.IMPLEMENTATION],
            config.stash[WORKDIR],
            config.getoption("start_timeout"),
            **how,
        )
    except ManifestError as error:
        raise pytest.UsageError(printable(str(error))) from error
    return failure and printable(failure)
