"""The verdict lattice, over every pair."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness.requirements import Level
from conformance.harness.verdicts import (
    ExitStatus,
    Overall,
    Verdict,
    exit_status,
    of_test,
    overall,
    worst,
)

V = Verdict
MUST: Any = {"A-1": SimpleNamespace(level=Level.MUST), "A-2": SimpleNamespace(level=Level.MUST)}
SHOULD: Any = {"A-1": SimpleNamespace(level=Level.SHOULD)}


@pytest.mark.parametrize(("one", "other"), list(itertools.product(Verdict, Verdict)))
def test_the_worst_wins(one: Verdict, other: Verdict) -> None:
    order = "PASS WARN NOT_CLAIMED NOT_RUN KNOWN_FAILURE INCONCLUSIVE STALE_KNOWN_FAILURE"
    ranks = [*order.split(), "UNTESTABLE", "FAIL", "HARNESS_ERROR"]

    assert worst([one, other]) == max(one, other, key=ranks.index)
    assert one.red == (ranks.index(one) >= ranks.index("INCONCLUSIVE"))


@pytest.mark.parametrize(("verdict", "level"), list(itertools.product(Verdict, Level)))
def test_a_should_that_fails_only_warns(verdict: Verdict, level: Level) -> None:
    expected = V.WARN if verdict is V.FAIL and level is Level.SHOULD else verdict

    assert of_test(verdict, level) is expected


CASES = [
    ((V.PASS, V.PASS), Overall.CONFORMANT, ExitStatus.OK),
    ((V.PASS, V.WARN), Overall.CONFORMANT, ExitStatus.OK),
    ((V.PASS, V.NOT_CLAIMED), Overall.PARTIAL, ExitStatus.OK),
    ((V.PASS, V.NOT_RUN), Overall.PARTIAL, ExitStatus.OK),
    ((V.PASS, V.KNOWN_FAILURE), Overall.PARTIAL, ExitStatus.OK),
    ((V.PASS, V.INCONCLUSIVE), Overall.UNKNOWN, ExitStatus.INCONCLUSIVE),
    ((V.PASS, V.STALE_KNOWN_FAILURE), Overall.NON_CONFORMANT, ExitStatus.NON_CONFORMANT),
    ((V.PASS, V.UNTESTABLE), Overall.NON_CONFORMANT, ExitStatus.NON_CONFORMANT),
    ((V.PASS, V.FAIL), Overall.NON_CONFORMANT, ExitStatus.NON_CONFORMANT),
    ((V.PASS, V.HARNESS_ERROR), Overall.UNKNOWN, ExitStatus.HARNESS_ERROR),
    ((V.FAIL, V.HARNESS_ERROR), Overall.NON_CONFORMANT, ExitStatus.HARNESS_ERROR),
    ((V.FAIL, V.INCONCLUSIVE), Overall.NON_CONFORMANT, ExitStatus.NON_CONFORMANT),
    ((V.NOT_RUN, V.NOT_RUN), Overall.UNKNOWN, ExitStatus.INCONCLUSIVE),
    ((V.NOT_CLAIMED, V.KNOWN_FAILURE), Overall.UNKNOWN, ExitStatus.INCONCLUSIVE),
]


@pytest.mark.parametrize(("pair", "result", "status"), CASES)
def test_what_two_requirements_amount_to(
    pair: tuple[Verdict, Verdict], result: Overall, status: ExitStatus
) -> None:
    verdicts = dict(zip(MUST, pair, strict=True))

    assert overall(verdicts, MUST, complete=True) is result
    assert exit_status(pair, result, strict=False) is status


def test_what_was_left_out_makes_it_partial() -> None:
    assert overall({"A-1": V.PASS}, MUST, complete=True) is Overall.PARTIAL
    assert overall(dict.fromkeys(MUST, V.PASS), MUST, complete=False) is Overall.PARTIAL


def test_a_should_alone_shows_nothing() -> None:
    assert overall({"A-1": V.PASS}, SHOULD, complete=True) is Overall.UNKNOWN


def test_strict_makes_what_was_not_run_red() -> None:
    verdicts = (V.PASS, V.NOT_RUN)

    assert exit_status(verdicts, Overall.PARTIAL, strict=True) is ExitStatus.NOT_RUN
    failed = exit_status((*verdicts, V.FAIL), Overall.NON_CONFORMANT, strict=True)
    assert failed is ExitStatus.NON_CONFORMANT


def test_what_never_started_is_unknown_whatever_its_tests_say() -> None:
    verdicts = dict.fromkeys(MUST, V.UNTESTABLE)

    assert overall(verdicts, MUST, complete=True, started=False) is Overall.UNKNOWN
    status = exit_status(list(verdicts.values()), Overall.UNKNOWN, strict=True, started=False)
    assert status is ExitStatus.NOT_STARTED


@given(st.lists(st.sampled_from(list(Verdict)), min_size=2, max_size=2), st.booleans())
def test_nothing_red_is_ever_exit_status_0(verdicts: list[Verdict], strict: bool) -> None:  # noqa: FBT001
    result = overall(dict(zip(MUST, verdicts, strict=True)), MUST, complete=True)

    green = exit_status(verdicts, result, strict=strict) is ExitStatus.OK

    assert not (green and any(verdict.red for verdict in verdicts))
    assert not green or V.PASS in verdicts
