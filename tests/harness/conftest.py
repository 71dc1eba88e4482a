"""What tests of the judge need: a small suite of their own, run by a pytest of its own."""

import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conformance.harness.peer import Peer

from .probing import Hand

RECORD = """
### {id}: {id} holds

- **Level** {level} · **Basis** prose · **Profile** {profile} · **Seen by** service
- **Source** Somewhere
- **Purpose** To know.
- **Preconditions** None.
- **Procedure**
  1. Look.
- **Asserts**
  - It is true.
- **Why** It matters a lot.
"""

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
filterwarnings = error
"""

CONFTEST = """
from conformance.plugin import PLUGINS

pytest_plugins = list(PLUGINS)
"""

IMPORTS = """
import pytest
from conformance.harness.judging import *
from conformance.harness.judging import NonConformance
"""


ENDLESS = 120.0
"""Seconds after which a small suite is taken for one that never ends; it takes one."""

NOTHING = (sys.executable, "-c", "raise SystemExit(3)")


@dataclass(frozen=True)
class Judged:
    """What a run of a small suite came to."""

    status: int
    output: str
    report: dict[str, Any]

    @property
    def verdicts(self) -> dict[str, str]:
        """Verdict of each requirement."""
        return {name: one["verdict"] for name, one in self.report["requirements"].items()}


Judge = Callable[..., Judged]


@pytest.fixture
def judge_suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Run a small suite, by default on an implementation that cannot be started.

    Called with the tests' source, the requirements as `ID: (level, profile)`, lines for the
    manifest, options, the command and the claims.
    """
    # What small suites come to is nothing for the page of a CI that runs these tests.
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def judge(  # noqa: PLR0913 - a small suite is described by these
        source: str,
        requirements: dict[str, tuple[str, str]],
        *,
        manifest: str = "",
        options: Sequence[str] = ("--no-preflight",),
        command: Sequence[str] = NOTHING,
        claims: Sequence[str] = ("service",),
        processes: Sequence[str] = ("-n", "0"),
        settings: str = INI,
        report: str = ".conformance/mine",
    ) -> Judged:
        records = (
            RECORD.format(id=name, level=level, profile=profile)
            for name, (level, profile) in requirements.items()
        )
        Path(pytester.path, "SPEC.md").write_text("".join(records))
        Path(pytester.path, "mine.toml").write_text(
            f"name = 'mine'\nlanguage = 'None'\nclaims = {list(claims)}\n"
            f"command = {list(command)}\n{manifest}"
        )
        pytester.makeini(settings)
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(test_small=IMPORTS + source)
        done = pytester.runpytest_subprocess(
            "--impl=./mine.toml",
            "--specification=SPEC.md",
            f"--report={report}",
            *("-p", "no:cacheprovider"),
            *processes,
            *options,
            timeout=ENDLESS,
        )
        file = Path(pytester.path, report, "report.json")
        told = json.loads(file.read_text()) if file.exists() else {}
        return Judged(int(done.ret), done.stdout.str() + done.stderr.str(), told)

    return judge


@pytest.fixture
def socket_dir() -> Iterator[Path]:
    """A directory with a path that is short enough for sockets, removed after the test."""
    with tempfile.TemporaryDirectory(prefix="bh") as directory:
        yield Path(directory)


@pytest.fixture
async def peer(socket_dir: Path) -> AsyncIterator[Peer]:
    """A peer that echoes."""
    async with Peer(socket_dir / "p.sock") as opened:
        yield opened


@pytest.fixture
async def hand(peer: Peer) -> AsyncIterator[Hand]:
    """A connection to it by hand."""
    async with Hand(peer.path) as connected:
        connected.greet()
        yield connected
