"""Calls as a service counts them: what is expected of its metrics, and compared with them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .bounds import PROMPT, until
from .health import HEALTH
from .identity import Identity
from .judging import expect
from .nodes import Node
from .scraper import IN_FLIGHT, TOTAL, Scrape, Scraper

Key = tuple[str, str, str]
"""Service, method and status of calls."""

ENDED_BY_CALLER = "CANCELLED or DEADLINE_EXCEEDED"
"""Status of a call that its caller gave up, or whose deadline passed: the service may see either
of the two first, so they count together."""

UNKNOWN: Key = ("unknown", "unknown", "UNIMPLEMENTED")
"""What counts calls of methods that there are not."""

_BY_CALLER = frozenset({"CANCELLED", "DEADLINE_EXCEEDED"})

_EVERY = 0.02
"""Seconds between two scrapes."""


def key(service: str, method: str, code: str) -> Key:
    """Return what counts a call that ended with a code."""
    return service, method, "success" if code == "OK" else code


async def metered(node: Node, kind: type[Any] = Identity) -> tuple[Any, Scraper]:
    """Start a service that serves metrics; return it, and who reads them."""
    scraper = scraper_of(node, kind.NAME)
    service = await node.serve(kind, scraper.settings(kind.NAME))
    return service, scraper


def scraper_of(node: Node, name: str = "identity") -> Scraper:
    """Return who reads the metrics of a node's service, at a Unix socket."""
    return Scraper(f"unix:{node.directory / name}.metrics")


def counted(before: Scrape, after: Scrape) -> Counter[Key]:
    """Return the calls that were counted between two scrapes, but for health checks.

    Those are the suite's own, and as many as it took for the service to become ready.
    """
    found: Counter[Key] = Counter()
    for (service, method, status), value in after.by(TOTAL, "service", "method", "status").items():
        labels = {"service": service, "method": method, "status": status}
        more = int(value - before.value(TOTAL, **labels))
        if more and (service, method) != (HEALTH, "Check"):
            end = ENDED_BY_CALLER if status in _BY_CALLER else status
            found[service, method, end] += more
    return found


async def expect_counted(scraper: Scraper, before: Scrape, calls: Mapping[Key, int]) -> Scrape:
    """Make sure that exactly these calls are counted; return the scrape that tells so.

    Raises:
        NonConformance: others are, or they are not soon.
    """
    wanted = sum(calls.values())
    last = before

    async def all_are() -> bool:
        nonlocal last
        last = await scraper.scrape()
        return sum(counted(before, last).values()) >= wanted

    # The caller of a call that was cancelled does not see when it has ended.
    await until(
        all_are,
        bound=PROMPT,
        what=f"{wanted} calls are counted",
        every=_EVERY,
        seen=lambda: _missing(calls, counted(before, last)),
    )
    expect(
        dict(counted(before, last)), equals=dict(calls), what="calls by service, method and status"
    )
    return last


async def expect_in_flight(
    scraper: Scraper, calls: Mapping[tuple[str, str], float], when: str
) -> None:
    """Make sure that so many calls of each service and method are in flight, and no others.

    Raises:
        NonConformance: they are not, or not soon.
    """
    seen: dict[tuple[str, ...], float] = {}

    async def right() -> bool:
        nonlocal seen
        told = (await scraper.scrape()).by(IN_FLIGHT, "service", "method")
        seen = {place: value for place, value in told.items() if value}
        return seen == calls

    await until(
        right,
        bound=PROMPT,
        what=f"calls in flight once {when}: {dict(calls)}",
        every=_EVERY,
        seen=lambda: seen,
    )


def _missing(calls: Mapping[Key, int], seen: Counter[Key]) -> str:
    return f"not counted: {dict(Counter(calls) - seen)}; counted: {dict(seen)}"
