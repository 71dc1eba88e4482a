"""Tables of one run, and which ratios are not to be judged."""

from pathlib import Path

import pytest

from benchmarks.report.tables import Row, Table, doubt, duration, everything, number, summary
from benchmarks.series import Interval

from .saved import SURE, measured, run, transports


@pytest.mark.parametrize("control", [SURE, (0.97, 0.95, 1.0), (1.03, 1.0, 1.06)])
def test_beside_a_control_about_one_ratios_are_judged(
    control: tuple[float, float, float],
) -> None:
    assert doubt(Interval(*control)) == ""


@pytest.mark.parametrize(
    "control", [(1.02, 1.001, 1.04), (0.98, 0.96, 0.999), (0.969, 0.9, 1.1), (1.031, 0.9, 1.1)]
)
def test_beside_another_control_they_are_not(control: tuple[float, float, float]) -> None:
    found = Interval(*control)

    assert doubt(found) == f"not to be judged: A/A {found.text()}"


def test_without_a_control_they_are_not() -> None:
    assert doubt(None) == "not to be judged: A/A not measured"


def test_the_summary_has_a_line_a_case(tmp_path: Path) -> None:
    control = (1.1, 0.9, 1.3)
    shown = summary(run(tmp_path, *transports(), *transports("upload", "1MiB", control, calls=8)))

    twice = "2.000 (1.900-2.100)"
    assert shown.rows == (
        Row(
            (
                *("unary call", "64B", "1.00 ms", "1.00 ms", twice),
                *("1.000 (0.990-1.010)", twice, twice, "25% / 25%"),
            )
        ),
        Row(
            (
                *("upload", "1MiB, 8 calls", "1.00 ms", "1.00 ms"),
                f"{twice}, not to be judged: A/A 1.100 (0.900-1.300)",
                *("1.100 (0.900-1.300)", twice, twice, "25% / 25%"),
            ),
            doubtful=True,
        ),
    )


def test_what_has_no_tls_is_told_with_everything(tmp_path: Path) -> None:
    found = run(tmp_path, measured("start", "identity", "unix"))

    assert summary(found).rows == ()
    assert [row.cells[:3] for row in everything(found).rows] == [("start", "identity", "unix")]
    assert not everything(found).rows[0].doubtful


def test_markdown_keeps_to_its_columns() -> None:
    table = Table(("a", "b"), (Row(("1", "x|y")),))

    assert table.markdown() == "| a | b |\n| --- | --- |\n| 1 | x\\|y |"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (1.5e-6, "1.50 µs"),
        (12.34e-3, "12.3 ms"),
        (0.25, "250 ms"),
        (3, "3.00 s"),
        (1e-8, "0.0100 µs"),
    ],
)
def test_times_have_three_digits_that_count(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_numbers_keep_all_digits_before_the_point() -> None:
    assert [number(one) for one in (0, 0.1234, 12345.6)] == ["0", "0.123", "12,346"]
