"""The services of a node, for a person at a terminal."""

from rich.live import Live
from rich.markup import escape
from rich.table import Table

from .lifecycle import State
from .supervisor import Supervisor
from .unit import Unit

COLORS = {State.RUNNING: "green", State.FAILED: "bold red", State.STOPPED: "dim"}
"""Of states; others are on their way: yellow."""


def table(units: list[Unit]) -> Table:
    """Return a row a service."""
    shown = Table(title="blackhole")
    for column in ("service", "version", "state", "pid", "restarts", "where", "why"):
        shown.add_column(column)
    for unit in units:
        seen = unit.seen
        where = seen.place.tcp_address if seen.place.path is None else str(seen.place.path)
        state = f"[{COLORS.get(seen.state, 'yellow')}]{seen.state}[/]"
        if seen.successor is not None:
            state += f" -> {seen.successor.place.version}"
        shown.add_row(
            unit.service.name,
            seen.place.version or "-",
            state,
            str(seen.pid or "-"),
            str(seen.restarts),
            escape(where),
            escape(seen.detail),
        )
    return shown


async def show(supervisor: Supervisor) -> None:
    """Keep the table on the terminal up to date, until cancelled."""
    with Live(table(supervisor.units), auto_refresh=False) as live:
        async for _ in supervisor.changes():
            live.update(table(supervisor.units), refresh=True)
