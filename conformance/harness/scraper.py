"""A scraper: reads the metrics of a process, as Prometheus does."""

import asyncio
import http.client
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from . import bounds
from .addresses import HOST
from .judging import NonConformance, attach

OPENMETRICS = "application/openmetrics-text"
TEXT = "text/plain"

TOTAL = "blackhole_rpc_total"
DURATION = "blackhole_rpc_duration_seconds"
IN_FLIGHT = "blackhole_rpc_in_flight"

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Scrape:
    """All that a process told of itself at one moment."""

    content_type: str
    text: str
    types: dict[str, str]
    """Of each metric, by its name without `_total`."""
    samples: dict[str, dict[Labels, float]]
    """By name of the sample, and labels."""

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of a name that have these labels; 0 where there is none."""
        return sum(
            value
            for others, value in self.samples.get(name, {}).items()
            if labels.items() <= dict(others).items()
        )

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the samples of a name by the values of some labels, those of others added up."""
        found: dict[tuple[str, ...], float] = {}
        for others, value in self.samples.get(name, {}).items():
            key = tuple(dict(others).get(label, "") for label in labels)
            found[key] = found.get(key, 0.0) + value
        return found


class Scraper:
    """Reads metrics over HTTP.

    Args:
        address: where, as the configuration has it: `127.0.0.1:PORT` or `unix:/path`.
    """

    def __init__(self, address: str) -> None:
        """Connect to nobody yet."""
        self.address = address

    def __repr__(self) -> str:
        """Show where it reads."""
        return f"Scraper({self.address!r})"

    def settings(self, name: str) -> dict[str, Any]:
        """Return the settings with which process `name` serves its metrics there."""
        return {"telemetry": {"metrics_addresses": {name: self.address}}}

    async def scrape(self, accept: str = "") -> Scrape:
        """Read all metrics, on a connection of its own.

        Args:
            accept: which format is asked for; empty: none is named.

        Raises:
            NonConformance: nobody answers, not with 200, or not in that format.
        """
        try:
            status, kind, body = await asyncio.to_thread(self._get, accept)
        except (OSError, http.client.HTTPException) as error:
            raise self._unlike("an answer", f"{type(error).__name__}: {error}") from error
        attach("metrics.txt", body)
        if status != http.client.OK:
            raise self._unlike("status 200", f"{status}\n{body[:2000]}")
        return self._read(kind, body)

    def _get(self, accept: str) -> tuple[int, str, str]:
        connection = _Connection(self.address)
        try:
            connection.request("GET", "/metrics", headers={"Accept": accept} if accept else {})
            response = connection.getresponse()
            body = response.read().decode("utf-8", errors="replace")
            return response.status, response.getheader("Content-Type", ""), body
        finally:
            connection.close()

    def _read(self, kind: str, body: str) -> Scrape:
        try:
            families = list(_parser(kind)(body))
        except ValueError as error:
            raise self._unlike(f"what {kind or 'no type'} says", f"{error}\n{body}") from error
        return _scrape(kind, body, families)

    def _unlike(self, expected: str, observed: str) -> NonConformance:
        return NonConformance(
            what=f"metrics at {self.address}", expected=expected, observed=observed
        )


class _Connection(http.client.HTTPConnection):
    """A connection of HTTP, to a Unix socket too."""

    def __init__(self, address: str) -> None:
        self._path = Path(address.removeprefix("unix:")) if address.startswith("unix:") else None
        port = None if self._path else int(address.rpartition(":")[2])
        super().__init__(HOST, port, timeout=bounds.DEADLINE)

    def connect(self) -> None:
        """Connect."""
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _parser(kind: str) -> Callable[[str], Iterable[Metric]]:
    if kind.startswith(OPENMETRICS):
        return openmetrics.text_string_to_metric_families
    return text_string_to_metric_families


def _scrape(kind: str, body: str, families: Iterable[Metric]) -> Scrape:
    types: dict[str, str] = {}
    samples: dict[str, dict[Labels, float]] = {}
    for family in families:
        types[family.name] = family.type
        for sample in family.samples:
            samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return Scrape(kind, body, types, samples)
