"""The doctor: what it says of each implementation that is broken in one way."""

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from conformance.harness import requirements
from conformance.harness.doctor import causes, rules
from conformance.harness.doctor.consultation import consult
from conformance.harness.doctor.examination import run_examination, visits
from conformance.harness.doctor.telling import Teller
from conformance.harness.doctor.walk import Depth, Finding, Step
from conformance.harness.implementation import Implementation, find, load
from conformance.harness.security import shared_issuer
from fixtures.degenerate import DEGENERATES

ROOT = Path(__file__).resolve().parents[2]
WORKDIR = Path(tempfile.gettempdir())

STARTS = 5.0
"""Seconds that a degenerate may take to listen, where that is not what it fails at."""

GIVEN_UP = 3.0
"""Seconds that are waited for what never comes."""

READY, SOCKET, HTTP2 = rules.READY, rules.SOCKET, rules.HTTP2
USED, CALL = rules.USED, rules.DRIVER_CALL

BROKEN: dict[str, tuple[float, str, rules.Rule, str, str]] = {
    "exits-at-once": (
        STARTS, "identity.sock is there", READY,
        "with exit status 1, and printed nothing", "starts another program than you think",
    ),
    "exits-zero-at-once": (
        STARTS, "identity.sock is there", READY,
        "with exit status 0, and printed nothing", "a service runs in the foreground",
    ),
    "hangs-without-a-socket": (
        GIVEN_UP, "identity.sock is there", SOCKET,
        "none after 3 s; the process runs, ", "it waits for something before it listens",
    ),
    "accepts-and-closes": (
        STARTS, "HTTP/2 is spoken", HTTP2,
        "the connection was closed after 0.0", "its accept loop closes connections at once",
    ),
    "accepts-and-says-nothing": (
        GIVEN_UP, "HTTP/2 is spoken", HTTP2,
        "nothing for 3", "nobody reads what is accepted",
    ),
    "says-garbage": (
        STARTS, "HTTP/2 is spoken", HTTP2,
        r"b'\xff\xfe\xfd", "another protocol than gRPC is served there",
    ),
    "always-ok-and-empty": (
        GIVEN_UP, "health is SERVING", READY,
        "OK with an empty message after 3 s", "`status` has to be SERVING (1)",
    ),
    "always-unavailable": (
        GIVEN_UP, "health is SERVING", READY,
        "UNAVAILABLE 'no' after 3 s", "answers before the health service does",
    ),
    "echoes-its-input": (
        GIVEN_UP, "health is SERVING", READY,
        "OK with the request given back", "has to be a HealthCheckResponse",
    ),
    "driver-that-lies": (
        STARTS, "it calls a peer", CALL,
        "no call arrived at the peer", "the driver answers by itself",
    ),
    "serving-but-dead": (
        STARTS, "it serves a first call", USED,
        "UNKNOWN 'no'", "the handler raised what nobody maps to a status",
    ),
    "serving-but-empty": (
        STARTS, "it serves a first call", USED,
        "OK with an empty message: the DID is ''", "without doing what was asked",
    ),
    "serving-but-echoing": (
        STARTS, "it serves a first call", USED,
        "the DID is 'key'", "without doing what was asked",
    ),
}  # fmt: skip
"""Of each degenerate: how long it is waited for, the step and the rule that the doctor stops at,
and words of what was seen and of the likeliest cause."""


def _implementation(
    *command: str, claims: Sequence[str] = ("service",), name: str = "mine"
) -> Implementation:
    return Implementation(
        name=name,
        language="Python",
        command=(sys.executable, *command),
        cwd=ROOT,
        claims=tuple(claims),
    )


def _degenerate(name: str) -> Implementation:
    claims = ("client",) if name.startswith("driver") else ("service",)
    return _implementation("-m", "fixtures.degenerate", name, claims=claims)


def test_every_degenerate_is_told() -> None:
    assert set(BROKEN) == set(DEGENERATES)


@pytest.mark.parametrize("name", BROKEN)
def test_the_first_rule_that_a_degenerate_breaks(name: str) -> None:
    wait, step, rule, observed, cause = BROKEN[name]

    finding = run_examination(_degenerate(name), WORKDIR, wait, Depth.WHOLE)

    assert isinstance(finding, Finding)
    assert (finding.step.title, finding.rule) == (step, rule), finding.sentence
    assert observed in finding.observed
    assert cause in finding.causes[0]


MUTANTS: dict[str, tuple[str, str, rules.Rule, str, str]] = {
    "LOG-1-does_not_say_who_it_is": (
        "observability", "standard error is a log", rules.LOG,
        "has the service ''", "names its fields otherwise",
    ),
    "MET-1-serves_no_metrics": (
        "observability", "metrics are served", rules.METRICS,
        "No such file", "nothing serves HTTP",
    ),
    "TLS-1-leaves_alpn_out": (
        "remote", "port speaks HTTP/2 by mutual TLS", rules.PORT,
        "ALPN None", "h2 is not chosen by ALPN",
    ),
    "TLS-2-does_without_a_certificate": (
        "remote", "no certificate, no call", rules.PORT,
        "OK {status: SERVING}", "none is required",
    ),
    "AUTH-1-asks_at_the_port_alone": (
        "security", "no token is refused", rules.TOKENS,
        "OK {did: ", "nothing looks at `auth`",
    ),
}  # fmt: skip
"""Of mutants of the reference: a claim, and as above."""


@pytest.mark.parametrize("name", MUTANTS)
def test_the_first_rule_that_a_mutant_breaks(name: str) -> None:
    claim, step, rule, observed, cause = MUTANTS[name]
    mutant = _implementation("-m", "fixtures.mutants", name, claims=[claim])

    finding = run_examination(mutant, WORKDIR, STARTS, Depth.WHOLE)

    assert isinstance(finding, Finding)
    assert (finding.step.title, finding.rule) == (step, rule), finding.sentence
    assert observed in finding.observed
    assert cause in finding.causes[0]


def test_an_orchestrator_that_ends_breaks_the_same_rule_at_any_depth() -> None:
    ends = _implementation("-m", "fixtures.degenerate", "exits-at-once", claims=["orchestrator"])

    findings = [run_examination(ends, WORKDIR, STARTS, depth) for depth in Depth]

    assert [one and (one.step.role, one.step.title, one.rule, one.causes) for one in findings] == [
        ("orchestrator", "orchestrator.sock is there", READY, [causes.ANOTHER_PROGRAM])
    ] * 3


def test_every_rule_stands_in_the_text() -> None:
    named = {name: rule for name, rule in vars(rules).items() if isinstance(rule, rules.Rule)}

    texts = {name: rule.text for name, rule in named.items()}

    assert all(text.endswith((".", "foreground", "service", "driver.sock`")) or ":" in text
               for text in texts.values()), texts  # fmt: skip
    assert texts["READY"] == (
        "Ready means: the socket accepts, and `grpc.health.v1.Health/Check` for the service's name"
        " answers `SERVING`."
    )
    assert texts["FOREGROUND"] == (
        "`service NAME --config FILE [--version V]`: runs service NAME in the foreground"
    )


@pytest.mark.parametrize(
    ("profiles", "depth", "count"),
    [
        ({"service"}, Depth.READY, 1),
        ({"client"}, Depth.READY, 1),
        ({"orchestrator"}, Depth.READY, 1),
        ({"remote"}, Depth.READY, 1),
        ({"service", "client", "orchestrator", "platform", "remote"}, Depth.USED, 3),
        ({"service", "client", "orchestrator", "platform", "remote", "security"}, Depth.WHOLE, 8),
    ],
)
def test_what_is_walked_for_which_claims(profiles: set[str], depth: Depth, count: int) -> None:
    assert len(list(visits(frozenset(profiles), depth))) == count


def test_the_whole_story_of_a_stranger_whose_program_does_not_start(tmp_path: Path) -> None:
    broken = _implementation("-c", "import nowhere")
    told = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)

    status = consult(broken, WORKDIR, STARTS, keep=tmp_path / "kept", out=told)

    told.seek(0)
    lines = [line.strip() for line in told.read().splitlines()]
    assert status == 8
    assert lines[0] == "mine (Python), claims: service"
    assert any(line.startswith("ok command starts") for line in lines)
    assert any(line.startswith("FAIL identity.sock is there") for line in lines)
    assert any(line.endswith("ModuleNotFoundError: No module named 'nowhere'") for line in lines)
    assert any("1. something that it needs is not found" in line for line in lines)
    assert (tmp_path / "kept" / "config.json").is_file()
    assert any(str(tmp_path / "kept" / "config.json") in line for line in lines)


def test_the_reference_keeps_the_contract_in_every_role(capsys: pytest.CaptureFixture[str]) -> None:
    status = consult(load(find("reference"), requirements.load()), WORKDIR, 10.0)

    told = capsys.readouterr().out
    assert status == 0, told
    assert told.endswith("the launch contract is kept\n")
    roles = [line for line in told.splitlines() if line and not line.startswith(" ")]
    assert roles[1:-1] == [
        "service identity",
        "service storage",
        "service ledger",
        "service events",
        "service identity at a port",
        "service identity with tokens",
        "driver",
        "orchestrator",
    ]


def test_what_an_implementation_says_holds_no_secret_and_does_nothing_at_a_terminal() -> None:
    token, colour = shared_issuer().token(), "\x1b[31m"
    step = Step("service identity", "it serves a first call")
    step.show("answer", f"UNKNOWN {token} {colour}")
    step.warn(f"printed there: {token}")
    out = io.StringIO()

    teller = Teller(out)
    teller.step(step)
    teller.finding(Finding(step, READY, "SERVING", f"{token}{colour}", printed=token))

    told = out.getvalue()
    assert not [part for part in token.split(".") if part in told]
    assert "\x1b" not in told
    assert told.count("[redacted token") == 5
