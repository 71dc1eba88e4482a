"""The judge on small suites: every way in which a test can end, and what is made of it."""

import os
from pathlib import Path

import pytest

from .conftest import Judge

MUST = ("MUST", "service")

ENDINGS = {
    "PASS-1": ("", "", "PASS"),
    "FAIL-1": ("expect(1, equals=2, what='x')", "", "FAIL"),
    "CODE-1": ("raise RuntimeError('broken')", "", "HARNESS_ERROR"),
    "PLAIN-1": ("assert 1 == 2", "", "HARNESS_ERROR"),
    "SKIP-1": ("pytest.skip('not today')", "", "HARNESS_ERROR"),
    "XFAIL-1": ("pytest.xfail('not today')", "", "HARNESS_ERROR"),
    "UNT-1": ("untestable('nothing there')", "", "UNTESTABLE"),
    "INC-1": ("inconclusive('stalled')", "", "INCONCLUSIVE"),
    "NOT-1": ("not_run('no root')", "", "NOT_RUN"),
    "SET-1": ("", "expect(1, equals=2, what='x')\n    yield", "UNTESTABLE"),
    "SUE-1": ("", "raise RuntimeError('broken')\n    yield", "HARNESS_ERROR"),
    "TEAR-1": ("", "yield\n    expect(1, equals=2, what='x')", "FAIL"),
    "BOTH-1": ("untestable('x')", "yield\n    expect(1, equals=2, what='x')", "FAIL"),
    "GROUP-1": (
        "raise ExceptionGroup('all', [NonConformance(what='x', expected=1, observed=2)])",
        "",
        "FAIL",
    ),
}
"""Body of the test, body of its fixture, and the verdict."""


def _test(name: str, body: str, fixture: str) -> str:
    lower = name.lower().replace("-", "_")
    return (
        f"@pytest.fixture\ndef f_{lower}():\n    {fixture or 'yield'}\n"
        f"def test_{lower}_case(f_{lower}):\n    '''{name}: It holds.'''\n    {body or 'pass'}\n"
    )


def test_each_ending_has_its_verdict(judge_suite: Judge) -> None:
    source = "".join(_test(name, body, fixture) for name, (body, fixture, _) in ENDINGS.items())

    judged = judge_suite(source, dict.fromkeys(ENDINGS, MUST))

    assert judged.verdicts == {name: verdict for name, (_, _, verdict) in ENDINGS.items()}
    assert judged.status == 6
    assert judged.report["verdict"] == "non-conformant"
    assert judged.report["requirements"]["NOT-1"]["reason"] == "no root"
    assert {one["tests"] for one in judged.report["requirements"].values()} == {1}


def test_workers_come_to_the_same_verdicts(judge_suite: Judge) -> None:
    source = "".join(_test(name, body, fixture) for name, (body, fixture, _) in ENDINGS.items())

    judged = judge_suite(source, dict.fromkeys(ENDINGS, MUST), options=("--no-preflight", "-n2"))

    assert judged.verdicts == {name: verdict for name, (_, _, verdict) in ENDINGS.items()}
    assert judged.status == 6


def test_a_failure_tells_a_stranger_everything(
    judge_suite: Judge, pytester: pytest.Pytester
) -> None:
    source = """
@pytest.fixture
def file(tmp_path):
    file = tmp_path / "log"
    file.write_text('{"time": "2026-01-01T00:00:00Z", "message": "hello"}')
    attach("its log", file.read_text)
    yield
    file.unlink()

def test_fail_1_case(file):
    '''FAIL-1: It holds.'''
    did("looked at it")
    expect([1], equals=[2], what="what it is")
"""

    judged = judge_suite(source, {"FAIL-1": MUST})

    for line in (
        "FAIL-1  MUST  FAIL-1 holds",
        "CONFORMANCE.md#fail-1   (document: Somewhere; prose)",
        "did        looked at it",
        "looked at  what it is",
        "expected   [2]",
        "observed   [1]",
        "why        It matters a lot.",
        "evidence   .conformance/mine/FAIL-1/test_fail_1_case",
        "again      pytest conformance/ --impl=./mine.toml -k FAIL_1_",
    ):
        assert line in judged.output
    evidence = Path(pytester.path, ".conformance", "mine", "FAIL-1", "test_fail_1_case")
    assert (evidence / "its-log").read_text().endswith('"hello"}')
    timeline = (evidence / "timeline.txt").read_text()
    assert timeline.splitlines()[0].startswith("00:00:00.000000  log    {")
    assert timeline.splitlines()[1].endswith("suite  looked at it")
    assert "## Procedure\n\n1. Look." in (evidence / "story.md").read_text()
    junit = Path(pytester.path, ".conformance", "mine", "junit.xml").read_text()
    assert '<property name="verdict" value="FAIL"' in junit


def test_a_should_warns_and_a_may_is_claimed_by_its_id(judge_suite: Judge) -> None:
    ids = {
        "PASS-1": MUST,
        "SHO-1": ("SHOULD", "service"),
        "MAY-1": ("MAY", "service"),
        "MAY-2": ("MAY", "service"),
        "OTHER-1": ("MUST", "client"),
    }
    source = "".join(
        _test(name, "" if name == "PASS-1" else "expect(1, equals=2, what='x')", "")
        for name in ids
        if name not in ("MAY-2", "OTHER-1")
    ) + "".join(_test(name, "raise SystemExit('never run')", "") for name in ("MAY-2", "OTHER-1"))

    judged = judge_suite(source, ids)

    assert judged.verdicts == {
        "PASS-1": "PASS",
        "SHO-1": "WARN",
        "MAY-1": "NOT_CLAIMED",
        "MAY-2": "NOT_CLAIMED",
        "OTHER-1": "NOT_CLAIMED",
    }
    assert (judged.status, judged.report["verdict"]) == (0, "partial")


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--strict",), 9)])
def test_what_was_not_run_is_red_only_when_strict(
    judge_suite: Judge, options: tuple[str, ...], status: int
) -> None:
    source = _test("PASS-1", "", "") + _test("NOT-1", "not_run('no root')", "")

    judged = judge_suite(
        source, {"PASS-1": MUST, "NOT-1": MUST}, options=("--no-preflight", *options)
    )

    assert judged.status == status


def test_everything_passed_is_conformant_and_a_selection_is_partial(judge_suite: Judge) -> None:
    source = _test("PASS-1", "", "") + _test("PASS-2", "", "")
    ids = {"PASS-1": MUST, "PASS-2": MUST}

    assert judge_suite(source, ids).report["verdict"] == "conformant"
    part = judge_suite(source, ids, options=("--no-preflight", "-k", "PASS_1_"))

    assert (part.status, part.report["verdict"]) == (0, "partial")
    assert part.report["not_selected"] == ["PASS-2"]


def test_an_implementation_that_does_not_start_is_told_once(judge_suite: Judge) -> None:
    source = _test("FAIL-1", "raise SystemExit('never run')", "") + _test("FAIL-2", "", "")

    judged = judge_suite(source, {"FAIL-1": MUST, "FAIL-2": MUST}, options=())

    assert set(judged.verdicts.values()) == {"UNTESTABLE"}
    assert (judged.status, judged.report["verdict"]) == (8, "unknown")
    assert judged.output.count("state:   exit status 3") == 1
    assert "service identity --config" in judged.output


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def test_pass_1_x():\n    pass\n", "does not begin with the ID"),
        ("def test_pass_1_x():\n    '''PASS-9: It.'''\n", "there is no requirement PASS-9"),
        ("def test_x():\n    '''PASS-1: It.'''\n", "its name does not begin with test_pass_1_"),
    ],
)
def test_a_test_that_names_no_requirement_is_refused(
    judge_suite: Judge, source: str, told: str
) -> None:
    judged = judge_suite(source, {"PASS-1": MUST})

    assert judged.status == 4
    assert told in judged.output


def test_no_test_selected_is_a_status_of_its_own(judge_suite: Judge) -> None:
    judged = judge_suite(
        _test("PASS-1", "", ""), {"PASS-1": MUST}, options=("--no-preflight", "-k", "nothing")
    )

    assert judged.status == 5
    assert "no tests were selected" in judged.output


def test_what_a_test_leaves_behind_is_the_suites_own_error(judge_suite: Judge) -> None:
    source = _test("LEFT-1", "import os; [os.open('/dev/null', 0) for _ in range(20)]", "")

    judged = judge_suite(source, {"LEFT-1": MUST})

    assert judged.verdicts == {"LEFT-1": "HARNESS_ERROR"}
    assert "left 20 descriptors open" in judged.report["requirements"]["LEFT-1"]["reason"]


def test_three_processes_judge_unless_told_otherwise(judge_suite: Judge) -> None:
    many = 3 if len(os.sched_getaffinity(0)) > 1 else 1
    source = (
        "import os\n"
        "def test_pass_1_counts():\n"
        "    '''PASS-1: It runs in a worker, and a worker has none of its own.'''\n"
        f"    expect(os.environ['PYTEST_XDIST_WORKER_COUNT'], equals='{many}', what='workers')\n"
    )

    judged = judge_suite(source, {"PASS-1": MUST}, processes=())

    assert judged.verdicts == {"PASS-1": "PASS"}, judged.output


@pytest.mark.parametrize(
    ("stall", "own", "others", "told"),
    [
        (3.0, 2.0, 0.0, "kept the suite from running for 3.0 s"),
        (3.0, 1.0, 0.0, ""),
        (0.9, 0.9, 0.0, ""),
        (0.0, 0.0, 9.0, "the implementation waited 9.0 s for a CPU"),
        (0.0, 0.0, 0.9, ""),
    ],
)
def test_a_failure_while_the_host_stalled_is_none(
    judge_suite: Judge, stall: float, own: float, others: float, told: str
) -> None:
    body = (
        "from conformance.harness import bounds, judge\n"
        f"    bounds.JITTER.worst = lambda *_: {stall}\n"
        f"    judge.STARVATION.longest = lambda: {others}\n"
        f"    judge.waited = lambda pid: 1e9 + {own}\n"
        "    request.node.stash[judge._SAID].waited = 1e9\n"
        "    expect(1, equals=2, what='x')"
    )
    source = _test("LATE-1", body, "").replace("(f_late_1)", "(f_late_1, request)")

    judged = judge_suite(source, {"LATE-1": MUST})

    assert judged.verdicts == {"LATE-1": "INCONCLUSIVE" if told else "FAIL"}
    reason = judged.report["requirements"]["LATE-1"]["reason"]
    assert "x: expected 2, observed 1" in reason
    assert told in reason


FORGOTTEN = (
    """
import asyncio, gc

async def forget():
    async def broken():
        raise OSError("nobody asks for it")
    for _ in range(50):
        cycle = [asyncio.ensure_future(broken())]
        cycle.append(cycle)
    await asyncio.sleep(0)

async def test_fail_1_leaves_garbage():
    \"\"\"FAIL-1: It is true.\"\"\"
    gc.disable()
    gc.collect()
    await forget()
    gc.set_threshold(5000)
    gc.enable()
    expect(1, equals=2, what="the number")
"""
    # What pytest reads of it in one go, and long enough for a collection in the midst.
    + "x = [(1, 2), (3, 4), (5, 6), (7, 8)]\n" * 2000
)


def test_garbage_that_has_something_to_say_ends_no_run(judge_suite: Judge) -> None:
    judged = judge_suite(FORGOTTEN, {"FAIL-1": MUST})

    assert "INTERNALERROR" not in judged.output
    assert judged.verdicts == {"FAIL-1": "FAIL"}, judged.output
