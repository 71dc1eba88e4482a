"""From files to files: reads the runs, writes the report."""

from collections.abc import Sequence
from pathlib import Path

from .comparing import compared, comparison, lettered
from .page import NOTHING, page
from .pictures import NAMES, pictures
from .runs import BadInputError, Run, newest, read
from .tables import both, summary

__all__ = ["BadInputError", "make", "newest"]


def make(files: Sequence[Path], out: Path) -> str:
    """Write the report; return its summary as Markdown.

    Args:
        files: the runs.
        out: the directory, which is made if need be.

    Raises:
        BadInputError: a file is no saved run.
    """
    runs = lettered([read(file) for file in files])
    drawn = {letter: pictures(run) for letter, run in runs.items()}
    text = page(list(runs.values()), list(drawn.values()))
    out.mkdir(parents=True, exist_ok=True)
    _clear(out)
    for letter, shown in drawn.items():
        # The first run's pictures have plain names, to be linked to.
        suffix = "" if letter == next(iter(runs)) else f"-{letter}"
        for picture in shown:
            (out / f"{picture.name}{suffix}.png").write_bytes(picture.png())
    (out / "report.html").write_text(text, encoding="utf-8")
    return _markdown(runs)


def _clear(out: Path) -> None:
    """Remove pictures of an earlier report: this one may have fewer."""
    for name in NAMES:
        for picture in (out / f"{name}.png", *out.glob(f"{name}-[A-Z].png")):
            picture.unlink(missing_ok=True)


def _markdown(runs: dict[str, Run]) -> str:
    several = len(runs) > 1
    told = []
    for letter, run in runs.items():
        heading = f"{letter}: {run.name}, " if several else ""
        told += [
            f"### {heading}{run.implementation}, {run.date}",
            f"{run.cpu}; {run.saved['implementation']['placement']}; {run.python}; {run.effort}",
            summary(run).markdown() if both(run) else NOTHING,
        ]
    if several:
        everyone = list(runs.values())
        told += ["### Side by side", compared(everyone), comparison(everyone).markdown()]
    return "\n\n".join(told)
