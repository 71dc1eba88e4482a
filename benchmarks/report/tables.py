"""Tables of one run: the Unix socket against TCP+TLS, and everything that was measured."""

import math
from dataclasses import dataclass

from benchmarks.arms import TLS, UNIX
from benchmarks.series import Interval

from .runs import AGAIN, Measurement, Run

TRUSTED = (0.97, 1.03)
"""Between which an arm against itself lies, where ratios beside it can be judged."""

NONE = "-"
"""In a cell of what was not measured."""

_SCALES = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    cells: tuple[str, ...]
    doubtful: bool = False
    """Whether its ratio is not to be judged."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and lines of as many cells."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [self.columns, ("---",) * len(self.columns), *(row.cells for row in self.rows)]
        return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)


def summary(run: Run) -> Table:
    """Return the Unix socket against TCP+TLS, wherever both were measured."""
    columns = (
        *("question", "case", "Unix socket", "TCP+TLS", "TLS / Unix", "A/A"),
        *("bare gRPC: TLS / Unix", "raw: TLS / Unix", "client's CPU, Unix / TLS"),
    )
    rows = []
    for question, case in both(run):
        arms = run.arms(question, case)
        unix, tls = arms[UNIX], arms[TLS]
        doubted = doubt(control := run.control(question, case))
        found = tls.ratios[UNIX].text()
        cells = (
            *(question, named(unix), duration(unix.median), duration(tls.median)),
            f"{found}, {doubted}" if doubted else found,
            text(control),
            *(text(floor(arms, kind)) for kind in ("bare", "raw")),
            f"{unix.share:.0%} / {tls.share:.0%}",
        )
        rows.append(Row(cells, doubtful=bool(doubted)))
    return Table(columns, tuple(rows))


def everything(run: Run) -> Table:
    """Return all that was measured."""
    columns = (
        *("question", "case", "arm", "median", "99 of 100", "a second", "MB/s"),
        *("client's CPU", "times", "takes so many times as long"),
    )
    rows = []
    for question, case in run.cases():
        doubted = doubt(run.control(question, case))
        for one in run.arms(question, case).values():
            told = doubted if one.ratios and not one.arm.endswith(AGAIN) else ""
            ratios = "; ".join(f"{base} {found.text()}" for base, found in one.ratios.items())
            cells = (
                *(question, named(one), one.arm, duration(one.median), duration(one.quantiles[99])),
                f"{number(one.per_second)} {one.unit}",
                number(one.mb_per_second) if one.mb_per_second else NONE,
                *(f"{one.share:.0%}", str(one.rounds)),
                ", ".join(filter(None, (ratios, told))) or NONE,
            )
            rows.append(Row(cells, doubtful=bool(told)))
    return Table(columns, tuple(rows))


def both(run: Run) -> list[tuple[str, str]]:
    """Return the cases that were measured over TLS beside the Unix socket."""
    return [
        (question, case)
        for question, case in run.cases()
        if (arms := run.arms(question, case)).keys() >= {UNIX, TLS} and UNIX in arms[TLS].ratios
    ]


def floor(arms: dict[str, Measurement], kind: str) -> Interval | None:
    """Return the ratio of TLS to a Unix socket of a floor, where it was measured."""
    tls = arms.get(f"{kind}-tls")
    return tls.ratios.get(f"{kind}-unix") if tls else None


def doubt(control: Interval | None) -> str:
    """Return why a ratio is not to be judged, or nothing.

    Args:
        control: the ratio of an arm to itself, measured beside it.
    """
    if control is None:
        return "not to be judged: A/A not measured"
    least, most = TRUSTED
    if least <= control.value <= most and control.low <= 1 <= control.high:
        return ""
    return f"not to be judged: A/A {control.text()}"


def named(one: Measurement) -> str:
    """Name a case, and what one time of it stands for."""
    return one.case if one.calls == 1 else f"{one.case}, {one.calls:,} {one.unit}"


def text(found: Interval | None) -> str:
    """Return a ratio in words."""
    return found.text() if found else NONE


def duration(seconds: float) -> str:
    """Return a time with three digits that count."""
    unit, scale = next((one for one in _SCALES if seconds >= one[1]), _SCALES[-1])
    return f"{number(seconds / scale)} {unit}"


def number(value: float) -> str:
    """Return a number with three digits that count, of which none is left out before the point."""
    digits = 2 - math.floor(math.log10(value)) if value else 0
    return f"{value:,.{max(0, digits)}f}"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
