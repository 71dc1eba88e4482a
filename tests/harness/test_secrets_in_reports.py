"""Nothing that a run writes holds a secret, although the implementation tells all it knows."""

import re
import sys
from pathlib import Path

import pytest

from conformance.harness import secrecy
from conformance.harness.pki import Authority
from conformance.harness.security import shared_issuer

from .conftest import Judge, Judged

MUST = ("MUST", "service")

INDISCREET = """
import json
from pathlib import Path

from conformance.harness.pki import Authority
from conformance.harness.security import shared_issuer

ISSUER = shared_issuer()

def note(*told):
    with Path("secrets.txt").open("a") as file:
        file.writelines(f"{one}\\n" for one in told)

def secrets():
    token, key = ISSUER.token("alice"), Authority().issue("somebody").key
    note(*token.split("."), *key.decode().splitlines()[1:-1])
    return token, key.decode()

def test_fail_1_logs():
    '''FAIL-1: It tells nobody.'''
    token, key = secrets()
    log = json.dumps({"time": "2026-01-01T00:00:00Z", "message": f"called with {token}: {key}"})
    attach("log", lambda: log)
    attach("bytes", token.encode() + key.encode())
    did(f"called with {token} and {key}")
    print("printed", token)
    expect(f"UNAUTHENTICATED: your token {token} and key {key}", equals="", what=f"of {token}")

def test_code_1_breaks():
    '''CODE-1: It does not break.'''
    token, key = secrets()
    raise RuntimeError(f"broke at {token} {key}")

def test_not_1_runs():
    '''NOT-1: It runs.'''
    token, key = secrets()
    not_run(f"no {token} {key}")

@pytest.mark.parametrize("token", [PARAMETER])
def test_para_1_named(token):
    '''PARA-1: A parameter is a name.'''
    note(*token.split("."))
    inconclusive(f"slow: {token}")
"""
"""Tests that each tell a token and a key in every way that there is."""

IDS = dict.fromkeys(("FAIL-1", "CODE-1", "NOT-1", "PARA-1"), MUST)

DISABLED = """
from conformance.harness import evidence, judging, printable, redaction
printable.redacted = evidence.redacted = lambda text: text
evidence.redacted_bytes = lambda data: data
"""
"""Switches off what is tested."""

WRITTEN = {
    *("report.json", "report.html", "summary.md", "junit.xml"),
    *("story.md", "timeline.txt", "log", "bytes", "traceback.txt"),
}
"""Names of the files that hold a secret where nothing is redacted."""


def _telling(place: Path, told: list[str]) -> set[str]:
    """Return the names of the files that tell any of the secrets."""
    return {
        file.name
        for file in place.rglob("*")
        if file.is_file() and secrecy.told(file.read_bytes().decode("latin-1"), told)
    }


def _secrets(pytester: pytest.Pytester) -> list[str]:
    return Path(pytester.path, "secrets.txt").read_text().splitlines()


def _directory(pytester: pytest.Pytester) -> Path:
    return Path(pytester.path, ".conformance", "mine")


def _judge(judge_suite: Judge, source: str, *options: str) -> Judged:
    parameter = f"PARAMETER = {shared_issuer().token('bob')!r}\n"
    return judge_suite(
        parameter + source, IDS, options=("--no-preflight", "-rA", "--showlocals", *options)
    )


@pytest.mark.parametrize("processes", ["-n0", "-n2"])
def test_no_file_holds_what_an_implementation_tells(
    judge_suite: Judge, pytester: pytest.Pytester, processes: str
) -> None:
    judged = _judge(judge_suite, INDISCREET, processes)

    told = _secrets(pytester)
    assert judged.verdicts["FAIL-1"] == "FAIL", judged.output
    assert {file.name for file in _directory(pytester).rglob("*")} >= WRITTEN
    assert _telling(_directory(pytester), told) == set()
    assert secrecy.told(judged.output, told) == []
    reason = judged.report["requirements"]["FAIL-1"]["reason"]
    assert "your token [redacted token sub=alice kid=suite-ed25519 #" in reason
    assert "and key [redacted private key #" in reason


def test_every_file_would_hold_it(judge_suite: Judge, pytester: pytest.Pytester) -> None:
    judged = _judge(judge_suite, DISABLED + INDISCREET)

    assert judged.verdicts["FAIL-1"] == "FAIL", judged.output
    assert _telling(_directory(pytester), _secrets(pytester)) == WRITTEN


def test_a_start_that_fails_tells_no_key(judge_suite: Judge, pytester: pytest.Pytester) -> None:
    key, token = Authority().issue("somebody").key.decode(), shared_issuer().token("alice")
    script = Path(pytester.path, "prints.py")
    script.write_text(f"raise SystemExit({f'cannot use {key} with {token}'!r})")

    judged = judge_suite(
        "def test_fail_1_x():\n    '''FAIL-1: It starts.'''\n",
        {"FAIL-1": MUST},
        options=(),
        command=(sys.executable, str(script)),
    )

    assert judged.status == 8
    told = [*token.split("."), *secrecy.of_key(key.encode())]
    for text in (judged.output, judged.report["preflight"]):
        assert re.search(r"cannot use \[redacted private key #.*\]\n with \[redacted token ", text)
        assert secrecy.told(text, told) == []
    assert _telling(_directory(pytester), told) == set()
