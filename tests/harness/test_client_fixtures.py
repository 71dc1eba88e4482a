"""Shared drivers and their peers: small suites, run on the reference."""

import re
import sys
from pathlib import Path

import pytest

from .conftest import Judge

ROOT = Path(__file__).resolve().parents[2]

REFERENCE = (sys.executable, "-m", "reference")
AS = f"cwd = {str(ROOT)!r}"
CLIENT = {"CLI-1": ("MUST", "client"), "CLI-2": ("MUST", "client")}

SHARED = '''
PIDS = set()

@pytest.mark.parametrize("n", [1, 2])
async def test_cli_1_shared(driver, peer, name, n):
    """CLI-1: Tests share a driver, and no names."""
    outcome = await driver.call(name, b"hello")
    expect((outcome.code, outcome.payloads), equals=("OK", (b"hello",)), what="outcome")
    expect([arrival.payloads for arrival in peer.arrivals], equals=[(b"hello",)], what="arrivals")
    expect((await peer.settled())[0].paths, equals=[peer.arrivals[0].path], what="paths")
    PIDS.add(driver.process.pid)
    expect(len(PIDS), equals=1, what="drivers")

@pytest.mark.driven("breaking")
async def test_cli_2_other(driver, peers, name):
    """CLI-2: A test may choose another configuration, and more peers."""
    first, second = await peers(name), await peers(name, "1.0.0")
    expect(driver.process.pid in PIDS, equals=False, what="the same driver")
    await driver.call(name, version="1.0.0")
    expect([len(one.arrivals) for one in (first, second)], equals=[0, 1], what="arrivals")
'''


def test_tests_share_drivers_by_configuration(judge_suite: Judge) -> None:
    judged = judge_suite(
        SHARED, CLIENT, manifest=AS, command=REFERENCE, claims=["client"], options=[]
    )
    assert judged.verdicts == {"CLI-1": "PASS", "CLI-2": "PASS"}, judged.output


PINGING = '''
@pytest.mark.driven("pinging")
async def test_cli_1_pinging(driver):
    """CLI-1: Pings are configured no closer together than the manifest says."""
    expect(driver.settings["pool"]["keep_alive"], equals="3.5s", what="keep_alive")
    expect(driver.settings["pool"]["connect_timeout"], equals="0.5s", what="connect_timeout")

async def test_cli_2_slow(driver):
    """CLI-2: What is longer stays."""
    expect(driver.settings["pool"]["keep_alive"], equals="30s", what="keep_alive")
'''


def test_pings_are_as_far_apart_as_the_manifest_says(judge_suite: Judge) -> None:
    judged = judge_suite(
        PINGING,
        CLIENT,
        manifest=f"{AS}\nleast_keep_alive = 3.5",
        command=REFERENCE,
        claims=["client"],
        options=[],
    )
    assert judged.verdicts == {"CLI-1": "PASS", "CLI-2": "PASS"}, judged.output


HALF_OPEN = '''
from conformance.harness.replies import ok

SERVICES = set()

@pytest.mark.driven("breaking")
@pytest.mark.parametrize("n", [1, 2])
async def test_cli_1_half_open(half_open, n):
    """CLI-1: A circuit that is half-open lets a trial call through, in each test another one."""
    before = len(half_open.peer.arrivals)
    (trial,) = await half_open.calls(ok(b"up"))
    expect((before, trial.payloads), equals=(half_open.failures, (b"up",)), what="failures, trial")
    SERVICES.add(half_open.service)
    expect(len(SERVICES), equals=n, what="circuits")

async def test_cli_2_none(driver):
    """CLI-2: Who needs none gets none."""
'''


def test_circuits_that_are_half_open_were_opened_together(judge_suite: Judge) -> None:
    judged = judge_suite(HALF_OPEN, CLIENT, manifest=AS, command=REFERENCE, claims=["client"])
    assert judged.verdicts == {"CLI-1": "PASS", "CLI-2": "PASS"}, judged.output


PAUSED = '''
import gc

@pytest.fixture
def collects():
    return gc.isenabled()

async def test_cli_1_paused(collects):
    """CLI-1: Garbage is collected between tests, and not while one measures."""
    expect((collects, gc.isenabled()), equals=(True, False), what="before it, and in it")

async def test_cli_2_again(collects):
    """CLI-2: So it is after a test, too."""
    expect((collects, gc.isenabled()), equals=(True, False), what="before it, and in it")
'''


def test_no_garbage_is_collected_while_a_test_measures(judge_suite: Judge) -> None:
    judged = judge_suite(PAUSED, CLIENT, manifest=AS, command=REFERENCE, claims=["client"])
    assert judged.verdicts == {"CLI-1": "PASS", "CLI-2": "PASS"}, judged.output


CLOSED = '''
async def test_cli_1_closes(driver):
    """CLI-1: A driver must serve after the test."""
    await driver.close()

async def test_cli_2_after(driver):
    """CLI-2: Nothing can be said with a driver that does not serve."""
'''


def test_a_driver_that_does_not_serve_is_told(judge_suite: Judge) -> None:
    judged = judge_suite(CLOSED, CLIENT, manifest=AS, command=REFERENCE, claims=["client"])
    assert judged.verdicts == {"CLI-1": "FAIL", "CLI-2": "UNTESTABLE"}, judged.output
    assert "the driver does not serve: " in judged.report["requirements"]["CLI-2"]["reason"]


KILLED = '''
async def test_cli_1_kills(driver):
    """CLI-1: A driver must serve after the test."""
    await driver.process.kill()

async def test_cli_2_after(driver):
    """CLI-2: The next test has another one."""
    expect(await driver.serving(), equals=True, what="whether it serves")
'''


def test_a_driver_that_died_is_replaced(judge_suite: Judge) -> None:
    judged = judge_suite(KILLED, CLIENT, manifest=AS, command=REFERENCE, claims=["client"])
    assert judged.verdicts == {"CLI-1": "FAIL", "CLI-2": "PASS"}, judged.output


def test_a_driver_that_does_not_start_is_untestable(judge_suite: Judge) -> None:
    judged = judge_suite(SHARED, CLIENT, claims=["client"])
    assert judged.verdicts == {"CLI-1": "UNTESTABLE", "CLI-2": "UNTESTABLE"}, judged.output


@pytest.mark.parametrize(
    ("claims", "started"),
    [
        (["client"], ["driver"]),
        (["service"], ["service"]),
        (["core"], ["service", "driver"]),
        (["orchestrator"], ["orchestrator"]),
    ],
)
def test_the_preflight_starts_what_is_claimed(
    judge_suite: Judge, tmp_path: Path, claims: list[str], started: list[str]
) -> None:
    log = tmp_path / "roles"
    tell = f"import sys, runpy; open({str(log)!r}, 'a').write(sys.argv[1] + '\\n');"
    command = (sys.executable, "-c", f"{tell} runpy.run_module('reference', run_name='__main__')")
    judged = judge_suite(SHARED, CLIENT, manifest=AS, command=command, claims=claims,
                         options=["--smoke"])  # fmt: skip
    assert (judged.status, log.read_text().split()) == (0, started), judged.output
    roles = re.findall(r"(?m)^(service|driver|orchestrator)", judged.output)
    assert roles == started


def test_a_role_that_does_not_start_is_named(judge_suite: Judge) -> None:
    judged = judge_suite(SHARED, CLIENT, claims=["client"], options=[])
    assert judged.status == 8
    assert "raise SystemExit(3)' driver --config" in judged.output
