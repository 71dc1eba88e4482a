"""The report as one HTML file, which needs nothing besides itself."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.arms import SAYS
from benchmarks.interleaved import BLOCK
from benchmarks.series import CONFIDENCE, RESAMPLES

from .comparing import compared, comparison, lettered
from .looks import Picture
from .runs import Missing, Run
from .tables import TRUSTED, Row, Table, everything, summary

NOTHING = "This run measured nothing over both the Unix socket and TCP+TLS."

HOW = (
    f"""All arms of a question are measured side by side by one process: a block of calls of one,
    then of the next, the order turned round each time, so that what disturbs one disturbs all. A
    block is {BLOCK} calls, of which the first is not counted; a burst of many calls, or the start
    of a process, is a block by itself.""",
    f"""A ratio is that of the medians of the blocks. Its interval is a bootstrap: {RESAMPLES:,}
    times, pairs of neighbouring blocks are drawn again, and {CONFIDENCE:.0%} of what comes out lies
    within it. A/A is one arm measured against itself, as a second arm. Where its interval does not
    contain 1, or it is not between {TRUSTED[0]} and {TRUSTED[1]}, the ratios beside it are not to
    be judged, and say so.""",
    """The client's CPU is the part of a call's time for which the measuring process kept its own
    CPU busy; what it does outside of the clock counts too, so it may exceed 100 %. Under native
    load the generator is another process, which is not in it.""",
    """Arms of other names are rows of the reference's own pipeline and client, which
    benchmarks/pipeline.py and benchmarks/test_*.py describe.""",
)
"""For a reader who has not read the code."""


@dataclass(frozen=True, slots=True)
class Part:
    """What the page tells of one run."""

    prefix: str
    summary: Table
    everything: Table
    pictures: Sequence[Picture]
    not_run: Sequence[Missing] | None


def page(runs: Sequence[Run], drawn: Sequence[Sequence[Picture]]) -> str:
    """Return the report.

    Args:
        runs: of which it tells, and which it compares if there are several.
        drawn: the pictures of each.
    """
    several = len(runs) > 1
    parts = [
        Part(f"{letter}: " if several else "", summary(run), everything(run), shown, run.not_run)
        for (letter, run), shown in zip(lettered(runs).items(), drawn, strict=True)
    ]
    names = ", ".join(dict.fromkeys(run.implementation for run in runs))
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=f"Benchmarks of {names}",
            facts=facts(runs),
            how=HOW,
            nothing=NOTHING,
            arms=_arms(runs),
            compared=compared(runs),
            comparison=comparison(runs) if several else None,
            parts=parts,
        )
    )


def facts(runs: Sequence[Run]) -> Table:
    """Return what was measured, where and when: a column a run."""
    told = {
        "implementation": [run.implementation for run in runs],
        "commit": [run.commit for run in runs],
        "date": [run.date for run in runs],
        "placement": [run.saved["implementation"]["placement"] for run in runs],
        "CPU": [run.cpu for run in runs],
        "system": [run.system for run in runs],
        "measured by": [run.python for run in runs],
        "measured for": [run.effort for run in runs],
        "machine": [run.saved["machine_info"]["node"] for run in runs],
        "saved run": [run.name for run in runs],
    }
    columns = ("", *(lettered(runs) if len(runs) > 1 else ("this run",)))
    return Table(columns, tuple(Row((name, *values)) for name, values in told.items()))


def _arms(runs: Sequence[Run]) -> Table:
    """Return what the transports and floors are."""
    there = {one.arm for run in runs for one in run.measured}
    rows = tuple(Row((arm, what)) for arm, what in SAYS.items() if arm in there)
    return Table(("arm", "what it is"), rows)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment
