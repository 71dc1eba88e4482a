"""Runs side by side: what is said of them."""

from pathlib import Path

import pytest

from benchmarks.report.comparing import (
    ALONE,
    ONE_EACH,
    compared,
    comparison,
    difference,
    lettered,
    verdict,
)
from benchmarks.report.runs import BadInputError, Run
from benchmarks.series import Interval

from .saved import SURE, measured, run, transports

A, B = Interval(1.2, 1.1, 1.3), Interval(1.5, 1.4, 1.6)

CONTROL = Interval(*SURE)

ELSEWHERE = {"node": "there", "python_version": "3.12.1"}


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (A, B, f"B slower by 25.0 % than A ({ONE_EACH})"),
        (B, A, f"A slower by 25.0 % than B ({ONE_EACH})"),
        (A, Interval(1.35, 1.3, 1.4), "no difference seen"),
        (A, A, "no difference seen"),
        (A, Interval(1.35, 1.301, 1.4), f"B slower by 12.5 % than A ({ONE_EACH})"),
    ],
)
def test_intervals_that_are_apart_differ(one: Interval, other: Interval, words: str) -> None:
    assert difference({"A": one}, {"B": other}) == words


def test_runs_of_the_same_code_do_not_differ_they_move() -> None:
    controls: dict[str, Interval | None] = dict.fromkeys("ABC", CONTROL)
    two: dict[str, Interval | None] = {"A": A, "B": B}

    assert verdict(two, controls, dict.fromkeys("AB", "one")) == (
        "AB the same code, moves by 25.0 %"
    )


def test_codes_differ_where_all_runs_of_one_are_beyond_all_of_the_other() -> None:
    controls: dict[str, Interval | None] = dict.fromkeys("ABCD", CONTROL)
    codes = {"A": "one", "B": "one", "C": "other", "D": "other"}
    near, far = Interval(1.35, 1.31, 1.4), Interval(1.8, 1.7, 1.9)

    assert verdict({"A": A, "B": near, "C": B, "D": far}, controls, codes) == (
        "no difference seen; AB the same code, moves by 12.5 %; CD the same code, moves by 20.0 %"
    )
    assert verdict({"A": A, "B": A, "C": B, "D": far}, controls, codes) == (
        "CD slower by 37.5 % than AB; AB the same code, moves by 0 %; "
        "CD the same code, moves by 20.0 %"
    )


def test_each_run_is_compared_with_the_first() -> None:
    controls: dict[str, Interval | None] = dict.fromkeys("ABC", CONTROL)

    assert verdict({"A": A, "B": B, "C": A}, controls) == (
        f"B slower by 25.0 % than A ({ONE_EACH}); C: no difference seen"
    )
    assert verdict({"A": None, "B": B, "C": A}, controls) == (
        f"B slower by 25.0 % than C ({ONE_EACH})"
    )
    assert verdict({"A": None, "B": B, "C": None}, controls) == "measured in B alone"


def test_beside_a_bad_control_nothing_is_judged() -> None:
    bad = Interval(1.2, 1.1, 1.3)

    assert verdict({"A": A, "B": B}, {"A": CONTROL, "B": bad}) == (
        "not to be judged: A/A 1.200 (1.100-1.300) in B"
    )
    assert verdict({"A": A, "B": B}, {"A": None, "B": None}) == (
        f"B slower by 25.0 % than A ({ONE_EACH}) (A/A not measured)"
    )


def _both(tmp_path: Path, second: dict[str, str] | None = None) -> list[Run]:
    start = measured("start", "identity", "unix")
    slower = transports(tls=(3.0, 2.9, 3.1))
    told = {"machine_info": second} if second else {}
    return [
        run(tmp_path, *transports(), start, name="0001_a"),
        run(tmp_path, *slower, start, name="0002_b", **told),
    ]


def test_runs_of_one_machine_have_medians_and_ratios(tmp_path: Path) -> None:
    runs = _both(tmp_path)
    table = comparison(runs)

    assert table.columns == (
        *("question", "case", "arm", "median A", "median B", "against", "ratio A", "ratio B"),
        "verdict",
    )
    cells = {(row.cells[0], row.cells[2], row.cells[5]): row.cells for row in table.rows}
    assert cells["unary call", "tls", "unix"] == (
        *("unary call", "64B", "tls", "1.00 ms", "1.00 ms", "unix"),
        *("2.000 (1.900-2.100)", "3.000 (2.900-3.100)"),
        f"B slower by 50.0 % than A ({ONE_EACH})",
    )
    assert cells["unary call", "unix-again", "unix"][-1] == "A/A"
    assert cells["unary call", "bare-tls", "bare-unix"][-1] == "no difference seen"
    assert cells["start", "unix", "-"][-1] == ALONE
    assert ("unary call", "unix-again", "bare-unix") not in cells
    assert "different machines" not in compared(runs)


def test_runs_of_two_machines_have_ratios_alone(tmp_path: Path) -> None:
    runs = _both(tmp_path, ELSEWHERE)
    table = comparison(runs)

    assert not any("median" in column for column in table.columns)
    assert all(len(row.cells) == len(table.columns) for row in table.rows)
    assert "start" not in {row.cells[0] for row in table.rows}
    assert compared(runs).startswith(
        "These runs are of different machines, so only their ratios are compared"
    )


def test_there_are_no_more_runs_than_letters(tmp_path: Path) -> None:
    one = run(tmp_path, *transports())

    with pytest.raises(BadInputError, match=r"0001_a\.json is one too many: 26 runs"):
        lettered([one] * 27)
