"""The pictures of one run."""

from collections.abc import Callable, Iterable, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from benchmarks.arms import AGAIN, SAYS, TLS, UNIX
from benchmarks.series import Interval

from .looks import COLOURS, GREY, LIGHT, MARKS, Look, Picture, drawing, legend, plain, times
from .runs import Measurement, Run
from .tables import TRUSTED, both, doubt, duration, floor, number

NAMES = ("latency", "ratios", "throughput", "streams")
"""What the pictures are called."""

PARTS = [value / 100 for value in range(101)]
"""Of the calls, that the quantiles stand for."""

LOAD = {
    "calls at once": "publishing,\nPython client",
    "creates": "durable creates,\nPython client",
    "native load": "publishing,\nnative client (h2load)",
}

STREAMS = {"server stream": "server stream (ledger)", "upload": "client stream (upload, durable)"}

POINTS = {
    "": "TCP+TLS / Unix socket",
    AGAIN: "A/A: Unix socket / itself",
    "bare": "TCP+TLS / Unix, bare gRPC",
    "raw": "TCP+TLS / Unix, raw sockets",
}
"""What a point of the ratios is, by the kind of server."""

FLOORS = ("bare", "raw")

Cases = Mapping[str, Mapping[str, Measurement]]


def pictures(run: Run) -> list[Picture]:
    """Draw whatever a run has the figures for."""
    return [picture for draw in (latency, ratios, throughput, streams) if (picture := draw(run))]


def latency(run: Run) -> Picture | None:
    """Draw how many calls of a hundred took how long, a panel a payload."""
    if not (cases := run.of("unary call")):
        return None
    rows = -(-len(cases) // 2)
    with drawing(rows, 2, 0.9 + 2.7 * rows) as (figure, panels):
        for axes, (case, arms) in zip(panels, cases.items(), strict=False):
            for arm, one in _known(arms):
                Look.of(arm).plot(axes, one.quantiles, [100 * part for part in PARTS], marked=False)
            axes.set_title(f"{case} a request")
            axes.set_xscale("log")
            axes.set_xlim(
                0.9 * min(one.quantiles[0] for one in arms.values()),
                1.1 * max(one.quantiles[99] for one in arms.values()),
            )
            axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(times))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.tick_params(axis="x", rotation=40)
            axes.set_ylim(0, 100)
            axes.set_ylabel("% of calls done")
        _hide(panels[len(cases) :])
        legend(figure, panels)
    return Picture(
        "latency",
        "Latency of a unary call, by payload and transport",
        "Each line is a distribution: so many calls of a hundred took no longer than so much. "
        "Further left is quicker; the time is on a logarithmic axis, of its own in each panel, "
        "and ends where 99 calls of 100 of the slowest arm do.",
        _told(
            "Distributions of the time of a call; medians",
            {"unary call": cases},
            lambda one: duration(one.median),
        ),
        figure,
    )


def ratios(run: Run) -> Picture | None:
    """Draw how many times as long TLS takes as a Unix socket, and how far that can be trusted."""
    if not (cases := both(run)):
        return None
    told = []
    with drawing(1, 1, 1.3 + 0.46 * len(cases)) as (figure, panels):
        (axes,) = panels
        axes.axvspan(*TRUSTED, color=LIGHT, linewidth=0)
        axes.axvline(1, color="black", linewidth=1)
        for at, (question, case) in enumerate(cases):
            arms, control = run.arms(question, case), run.control(question, case)
            found, doubted = arms[TLS].ratios[UNIX], bool(doubt(control))
            told.append(f"{question} {case} {found.text()}{' (not to be judged)' * doubted}")
            if at % 2:
                axes.axhspan(at - 0.5, at + 0.5, color="#f5f5f5", linewidth=0, zorder=0)
            _interval(axes, floor(arms, "raw"), at + 0.33, "raw")
            _interval(axes, floor(arms, "bare"), at + 0.11, "bare")
            _interval(axes, control, at - 0.11, AGAIN)
            _interval(axes, found, at - 0.33, "", hollow=doubted)
        axes.grid(visible=False, axis="y")
        axes.set_yticks(range(len(cases)), [", ".join(case) for case in cases])
        axes.set_ylim(len(cases) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator([0.25, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 40]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(plain))
        axes.set_xlabel("times as long as over the Unix socket (95 % interval); right of 1: slower")
        legend(figure, panels)
    return Picture(
        "ratios",
        "TCP+TLS against the Unix socket",
        "A point is how many times as long TCP+TLS takes as the Unix socket, with its interval. "
        "Grey is the Unix socket against itself. Where it is not about 1 (the grey band), the rest "
        "may be as far off, and the point is hollow: not to be judged. "
        "Squares and diamonds are the same ratio of bare gRPC and of raw sockets.",
        f"Ratios of TCP+TLS to the Unix socket: {'; '.join(told)}.",
        figure,
    )


def throughput(run: Run) -> Picture | None:
    """Draw calls a second by how many callers."""
    shown = {title: cases for name, title in LOAD.items() if (cases := run.of(name))}
    if not shown:
        return None
    return Picture(
        "throughput",
        "Calls a second, by calls at once",
        "One connection and so many callers, each of whom calls again once it is answered. "
        "Each panel has an axis of its own: another client finds another limit.",
        _told("Calls a second", shown, lambda one: number(one.per_second)),
        _lines(shown, "calls a second", "calls at once", lambda one: one.per_second, log=False),
    )


def streams(run: Run) -> Picture | None:
    """Draw bytes a second by the size of a message."""
    shown = {title: cases for name, title in STREAMS.items() if (cases := run.of(name))}
    if not shown:
        return None
    return Picture(
        "streams",
        "Bytes a second of a stream, by the size of its messages",
        "MB of payload a second over one stream at a time, on a logarithmic axis. "
        "A bare gRPC server keeps nothing and reads nothing from a disk.",
        _told("MB a second", shown, lambda one: number(one.mb_per_second)),
        _lines(shown, "MB a second", "size of a message", lambda one: one.mb_per_second, log=True),
    )


def _lines(
    shown: Mapping[str, Cases],
    what: str,
    by: str,
    value: Callable[[Measurement], float],
    *,
    log: bool,
) -> Figure:
    """Draw a panel a question: a line an arm, over its cases."""
    with drawing(1, len(shown), 4.3) as (figure, panels):
        for axes, (title, cases) in zip(panels, shown.items(), strict=True):
            for arm in reversed(SAYS):
                points = [
                    (at, value(arms[arm])) for at, arms in enumerate(cases.values()) if arm in arms
                ]
                if points:
                    Look.of(arm).plot(axes, *zip(*points, strict=True), marked=True)
            axes.set_title(title)
            axes.set_xticks(range(len(cases)), [case.removesuffix(" callers") for case in cases])
            axes.set_xlabel(by)
            axes.set_xlim(-0.25, len(cases) - 0.75)
            if log:
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
                axes.yaxis.set_minor_locator(NullLocator())
            else:
                axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(FuncFormatter(plain))
        panels[0].set_ylabel(what)
        legend(figure, panels)
    return figure


def _interval(
    axes: Axes, found: Interval | None, at: float, arm: str, *, hollow: bool = False
) -> None:
    """Draw a point with its interval."""
    if found is None:
        return
    color = GREY if arm == AGAIN else COLOURS[TLS]
    small = bool(arm)
    axes.errorbar(
        [found.value],
        [at],
        xerr=[[found.value - found.low], [found.high - found.value]],
        color=color,
        fmt=MARKS.get(arm, "o"),
        markersize=4.5 if small else 7.5,
        markerfacecolor="white" if hollow or arm in FLOORS else color,
        elinewidth=1.1 if small else 2.2,
        alpha=0.75 if arm in FLOORS else 1,
        label=f"{POINTS[arm]}{', not to be judged' * hollow}",
    )


def _known(arms: Mapping[str, Measurement]) -> list[tuple[str, Measurement]]:
    """Return what has a look, that which matters most drawn last."""
    return [(arm, arms[arm]) for arm in reversed(SAYS) if arm in arms]


def _hide(panels: Iterable[Axes]) -> None:
    for axes in panels:
        axes.set_visible(False)


def _told(what: str, shown: Mapping[str, Cases], value: Callable[[Measurement], str]) -> str:
    """Tell a picture of the implementation's transports in words."""
    told = (
        f"{' '.join(title.split())}, {case}: "
        + ", ".join(f"{arm} {value(arms[arm])}" for arm in (UNIX, TLS) if arm in arms)
        for title, cases in shown.items()
        for case, arms in cases.items()
    )
    return f"{what}. {'; '.join(told)}."
