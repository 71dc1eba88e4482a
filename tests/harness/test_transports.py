"""Over which transports a test runs, by what is claimed and by its marker."""

import pytest

from .conftest import Judge

SOURCE = '''
RUNS = []

def test_srv_1_runs(transport):
    """SRV-1: A service is judged over both."""
    RUNS.append(transport)

def test_sec_1_runs(transport):
    """SEC-1: So is its security."""
    RUNS.append(transport)

def test_rem_1_runs(transport):
    """REM-1: What is about a port is judged once."""
    RUNS.append(transport)

def test_cli_1_runs(transport):
    """CLI-1: So is the client."""
    RUNS.append(transport)

@pytest.mark.transports("tcp")
def test_prt_1_runs(transport):
    """PRT-1: A marker says which."""
    RUNS.append(transport)

def test_both_1_runs():
    """BOTH-1: Two profiles are claimed both, or the test does not run."""

def test_zzz_1_looks():
    """ZZZ-1: What ran is seen."""
    expect(RUNS, equals={runs}, what="transports")
'''

RECORDS = {
    "SRV-1": ("MUST", "service"),
    "SEC-1": ("MUST", "security"),
    "REM-1": ("MUST", "remote"),
    "CLI-1": ("MUST", "client"),
    "PRT-1": ("MUST", "service"),
    "BOTH-1": ("MUST", "remote, client"),
    "ZZZ-1": ("MUST", "service"),
}

REASONS = {
    "service": "profile remote and client is not claimed",
    "service remote": "profile client is not claimed",
    "service client remote security": "",
}
"""Why BOTH-1 does not run, by what is claimed."""


@pytest.mark.parametrize("claims", REASONS)
def test_a_service_is_judged_over_what_is_claimed(judge_suite: Judge, claims: str) -> None:
    remote, every = "remote" in claims, "client" in claims
    runs = [
        *(["unix", "tcp"] if remote else ["unix"]),
        *(["unix", "tcp"] if every else []),
        *(["unix"] if remote else []),
        *(["unix"] if every else []),
        "tcp",
    ]

    judged = judge_suite(SOURCE.replace("{runs}", repr(runs)), RECORDS, claims=claims.split())

    claimed = {"SRV-1", "PRT-1", "ZZZ-1"} | ({"REM-1"} if remote else set())
    claimed |= {"SEC-1", "CLI-1", "BOTH-1"} if every else set()
    assert judged.verdicts == {
        name: "PASS" if name in claimed else "NOT_CLAIMED" for name in RECORDS
    }, judged.output
    assert judged.report["requirements"]["BOTH-1"]["reason"] == REASONS[claims]
