"""Whole runs with known failures: what the gate is told, and what a person reads."""

import pytest

from .conftest import Judge, Judged

MUST = ("MUST", "service")
LATER = "2999-12-31"
FAILS = "expect(1, equals=2, what='its answer')"
PRINT = "d92212248916"
"""Fingerprint of that failure."""


def a_test(name: str, body: str = "pass") -> str:
    lower = name.lower().replace("-", "_")
    return f"def test_{lower}_case():\n    '''{name}: It holds.'''\n    {body}\n"


def entry(name: str, expires: str = LATER, more: str = "") -> str:
    return (
        f"[[known_failures]]\nid = '{name}'\nreason = 'being mended'\nlink = 'https://x.test/7'\n"
        f"expires = {expires}\nkind = 'bug'\n{more}\n"
    )


def summary(judged: Judged) -> list[str]:
    """Return what stands at the end of a run, with a line that says how it went."""
    lines = judged.output.splitlines()
    (begin,) = (n for n, line in enumerate(lines) if "verdicts on mine" in line)
    return [line.rstrip() for line in lines[begin + 1 :] if line.strip()]


CASES = {
    "known": (
        FAILS,
        entry("FAIL-1"),
        0,
        [
            "KNOWN_FAILURE        FAIL-1  MUST    FAIL-1 holds",
            "its answer: expected 2, observed 1",
            f"known until {LATER} (bug, https://x.test/7): being mended",
            f"fingerprint {PRINT}",
        ],
        "mine unknown: partial  (1 KNOWN_FAILURE, 1 PASS)",
    ),
    "expired": (
        FAILS,
        entry("FAIL-1", "2020-01-31"),
        1,
        [
            "FAIL                 FAIL-1  MUST    FAIL-1 holds",
            "its known failure expired on 2020-01-31: its answer: expected 2, observed 1",
            f"fingerprint {PRINT}",
        ],
        "mine unknown: non-conformant  (1 FAIL, 1 PASS)",
    ),
    "another": (
        FAILS,
        entry("FAIL-1", more="fingerprint = 'aaaaaaaaaaaa'"),
        1,
        [
            "FAIL                 FAIL-1  MUST    FAIL-1 holds",
            f"not the known failure aaaaaaaaaaaa, but {PRINT}: its answer: expected 2, observed 1",
            f"fingerprint {PRINT}",
        ],
        "mine unknown: non-conformant  (1 FAIL, 1 PASS)",
    ),
    "stale": (
        "pass",
        entry("FAIL-1"),
        1,
        [
            "STALE_KNOWN_FAILURE  FAIL-1  MUST    FAIL-1 holds",
            "listed as a known failure (being mended), and passes",
        ],
        "mine unknown: non-conformant  (1 PASS, 1 STALE_KNOWN_FAILURE)",
    ),
    "expired and stale": (
        "pass",
        entry("FAIL-1", "2020-01-31"),
        1,
        [
            "STALE_KNOWN_FAILURE  FAIL-1  MUST    FAIL-1 holds",
            "listed as a known failure, expired on 2020-01-31 (being mended), and passes",
        ],
        "mine unknown: non-conformant  (1 PASS, 1 STALE_KNOWN_FAILURE)",
    ),
    "harness error": (
        "raise RuntimeError('the suite broke')",
        entry("FAIL-1"),
        6,
        [
            "HARNESS_ERROR        FAIL-1  MUST    FAIL-1 holds",
            "the suite broke",
        ],
        "mine unknown: unknown  (1 HARNESS_ERROR, 1 PASS)",
    ),
}
"""Body of a test, the manifest's entry, the exit status, and what is read of it at the end."""


@pytest.mark.parametrize("case", CASES)
def test_a_run_with_a_known_failure(judge_suite: Judge, case: str) -> None:
    body, listed, status, lines, last = CASES[case]

    judged = judge_suite(
        a_test("PASS-1") + a_test("FAIL-1", body),
        {"PASS-1": MUST, "FAIL-1": MUST},
        manifest=listed,
    )

    read = summary(judged)
    at = next(n for n, line in enumerate(read) if " FAIL-1 " in line)
    below = (line.strip() for line in read[at + 1 : at + len(lines)])
    shown = [read[at].partition("  (")[0], *below]
    assert (judged.status, shown) == (status, lines), judged.output
    assert last in read


def test_the_report_holds_the_entry_and_the_fingerprint(judge_suite: Judge) -> None:
    judged = judge_suite(
        a_test("FAIL-1", FAILS) + a_test("FAIL-2", FAILS),
        {"FAIL-1": MUST, "FAIL-2": MUST},
        manifest=entry("FAIL-1", more=f"fingerprint = '{PRINT}'"),
    )

    one, two = (judged.report["requirements"][name] for name in ("FAIL-1", "FAIL-2"))
    assert one["known_failure"] == {
        "reason": "being mended",
        "link": "https://x.test/7",
        "expires": LATER,
        "kind": "bug",
        "fingerprint": PRINT,
    }
    assert (one["fingerprints"], two["fingerprints"]) == ([PRINT], [PRINT])
    assert two["known_failure"] is None
    assert f"known as   fingerprint {PRINT}" in judged.output


def test_what_is_claimed_and_has_no_test_is_red_in_a_whole_run(judge_suite: Judge) -> None:
    ids = {"PASS-1": MUST, "PASS-2": MUST, "MAY-1": ("MAY", "service"), "OTH-1": ("MUST", "client")}

    judged = judge_suite(a_test("PASS-1"), ids)
    part = judge_suite(a_test("PASS-1"), ids, options=("--no-preflight", "-k", "PASS_1_"))

    assert judged.verdicts == {"PASS-1": "PASS", "PASS-2": "UNTESTABLE"}
    assert judged.report["requirements"]["PASS-2"]["tests"] == 0
    assert judged.report["not_selected"] == ["MAY-1", "OTH-1"]
    assert (judged.status, judged.report["verdict"]) == (1, "non-conformant")
    assert "it is claimed, and there was no test of it" in judged.output
    assert (part.verdicts, part.status) == ({"PASS-1": "PASS"}, 0)


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        (entry("NONE-1"), "known_failures: there is no requirement 'NONE-1'"),
        (entry("OTH-1"), "known_failures: OTH-1 is not claimed, so that it cannot fail"),
        (entry("PASS-1").replace("being mended", ""), "PASS-1: reason is empty"),
        (entry("PASS-1") * 2, "PASS-1 stands twice"),
    ],
)
def test_an_entry_that_cannot_be_understood_is_wrong_use(
    judge_suite: Judge, listed: str, told: str
) -> None:
    ids = {"PASS-1": MUST, "OTH-1": ("MUST", "client")}

    judged = judge_suite(a_test("PASS-1"), ids, manifest=listed)

    assert (judged.status, told in judged.output) == (4, True), judged.output
