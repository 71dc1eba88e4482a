"""How pictures look: one colour a transport, one line a kind of server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.arms import AGAIN

from .tables import duration, number

INCHES = 9.0
"""Width: 900 pixels, as wide as a README shows a picture, at 100 dots an inch."""

DOTS = 200
"""An inch: twice as fine, for screens that show it."""

GREY, LIGHT = "#666666", "#d5d5d5"

COLOURS = {"unix": "#0072B2", "tcp": "#009E73", "tls": "#D55E00"}
"""By transport, of the palette by Okabe and Ito, which the colour-blind tell apart."""

TRANSPORTS = {"unix": "Unix socket", "tcp": "TCP", "tls": "TCP+TLS"}

LINES = {"bare": (0, (5, 2)), "raw": (0, (1, 1.5))}
"""By kind of floor; the implementation's own line is solid."""

MARKS = {"": "o", "bare": "s", "raw": "D"}

KINDS = {"": "implementation", "bare": "bare gRPC", "raw": "raw"}

_STYLE: Any = {
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # The same run gives the same file.
    "svg.hashsalt": "blackhole",
}


@dataclass(frozen=True, slots=True)
class Look:
    """How an arm is drawn everywhere."""

    label: str
    color: str
    linestyle: str | tuple[int, Sequence[float]]
    marker: str
    floor: bool
    """Whether it is there to be compared with, and so drawn thin."""

    @classmethod
    def of(cls, arm: str) -> "Look":
        """Return that of an arm."""
        if arm == AGAIN:
            return cls("Unix socket again", GREY, "solid", "o", floor=True)
        kind, _, transport = arm.rpartition("-")
        label = f"{KINDS[kind]}: {TRANSPORTS[transport]}"
        line = LINES.get(kind, "solid")
        return cls(label, COLOURS[transport], line, MARKS[kind], bool(kind))

    def plot(self, axes: Axes, x: Sequence[float], y: Sequence[float], *, marked: bool) -> None:
        """Draw a line."""
        axes.plot(
            x,
            y,
            label=self.label,
            color=self.color,
            linestyle=self.linestyle,
            linewidth=1.3 if self.floor else 2.2,
            marker=self.marker if marked else "",
            markersize=5.5,
            markerfacecolor="white" if self.floor else self.color,
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing, and what it shows in words."""

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure

    def png(self) -> bytes:
        """Return it in dots."""
        return self._saved("png")

    def svg(self) -> bytes:
        """Return it in lines."""
        return self._saved("svg")

    def _saved(self, kind: str) -> bytes:
        into = BytesIO()
        metadata = {"Date": None} if kind == "svg" else {}
        with mpl.rc_context(_STYLE):
            self.figure.savefig(into, format=kind, dpi=DOTS, metadata=metadata)
        return into.getvalue()


@contextmanager
def drawing(rows: int, columns: int, height: float) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure with so many panels.

    Args:
        rows: of panels.
        columns: of panels.
        height: of the figure, in inches.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(INCHES, height), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        yield figure, list(panels.flat)


def legend(figure: Figure, panels: Sequence[Axes], rows: int = 3) -> None:
    """Write one legend under all panels, column by column: what was drawn last comes first."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    labels = list(reversed(handles))
    figure.legend(
        [handles[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=-(-len(labels) // rows),
        handlelength=3,
    )


def times(value: float, _position: object = None) -> str:
    """Write a tick of an axis of seconds."""
    shown = duration(value)
    whole, _, unit = shown.partition(" ")
    return f"{whole.rstrip('0').rstrip('.') if '.' in whole else whole} {unit}"


def plain(value: float, _position: object = None) -> str:
    """Write a tick of an axis of numbers."""
    shown = number(value)
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
