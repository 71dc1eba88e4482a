"""Metrics over HTTP, as a scraper reads them (document: Metrics Collection; MET-1)."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import MetricsHandler
from prometheus_client.registry import Collector, CollectorRegistry

from ..config.telemetry import MetricsAddress
from .errors import StartError
from .metering import BUCKETS, CallMetrics
from .sockets import PublishedSocket, permissions
from .telemetry.measures import Measures

TIMEOUT = 5.0
"""Seconds that a scraper waits for the event loop, and one that says nothing is waited for."""

POLL = 0.05
"""Seconds after which the server has noticed at the latest that it is to end."""

_STATUS = ("service", "method", "status")
_BOUNDS = [*map(str, BUCKETS), "+Inf"]


class Metrics(Collector):
    """What a process tells a scraper.

    Args:
        calls: what is known of its calls.
        measures: what else it measures.
        loop: on which both change; they are read there, so that no call is half counted.
        settle: counts what has ended and is not counted yet; called on the loop.
    """

    def __init__(
        self,
        calls: CallMetrics,
        measures: Measures,
        loop: asyncio.AbstractEventLoop,
        settle: Callable[[], None],
    ) -> None:
        """Nothing is read before somebody asks."""
        self._settle = settle
        self._calls = calls
        self._measures = measures
        self._loop = loop

    def collect(self) -> Iterable[Metric]:
        """Return all of it, as it is at one moment; called on a thread of the HTTP server."""
        return asyncio.run_coroutine_threadsafe(self._read(), self._loop).result(TIMEOUT)

    async def _read(self) -> list[Metric]:
        self._settle()
        return [*call_metrics(self._calls), *other_metrics(self._measures)]


def call_metrics(calls: CallMetrics) -> Iterator[Metric]:
    """Return the three metrics of calls that the document names."""
    total = CounterMetricFamily("blackhole_rpc_total", "Total number of RPCs", labels=_STATUS)
    duration = HistogramMetricFamily(
        "blackhole_rpc_duration_seconds", "RPC latency distributions", labels=_STATUS
    )
    for labels, series in calls.ended():
        total.add_metric(labels, series.total)
        buckets = list(zip(_BOUNDS, map(float, series.cumulative()), strict=True))
        duration.add_metric(labels, buckets, sum_value=series.nanoseconds / 1e9)
    in_flight = GaugeMetricFamily(
        "blackhole_rpc_in_flight", "Number of RPCs in flight", labels=_STATUS[:2]
    )
    for place, number in calls.in_flight():
        in_flight.add_metric(place, number)
    yield from (total, duration, in_flight)


def other_metrics(measures: Measures) -> Iterator[Metric]:
    """Return what else is measured."""
    for counter in measures.counters.values():
        yield CounterMetricFamily(counter.name, counter.description, value=counter.total)
    for gauge in measures.gauges.values():
        family = GaugeMetricFamily(gauge.name, gauge.description, labels=gauge.labels)
        for labels, value in gauge.read():
            family.add_metric(labels, value)
        yield family


class _Handler(MetricsHandler):
    timeout = TIMEOUT
    """Who connects and says nothing does not keep a thread for ever."""

    def address_string(self) -> str:
        """Return nothing: who calls at a Unix socket has no address."""
        return ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, and ask nobody for the name of this host, as HTTPServer does."""
        TCPServer.server_bind(self)

    def handle_error(self, _request: Any, _client: Any) -> None:
        """Say nothing: a scraper that leaves early is no error of ours."""


@contextmanager
def exposed(address: MetricsAddress, name: str, metrics: Metrics) -> Iterator[None]:
    """Serve metrics at an address until the end.

    Args:
        address: where.
        name: of the process, for errors.
        metrics: what.

    Raises:
        StartError: it cannot listen there; names the field.
        SocketError: the socket cannot be published there.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    handler = _Handler.factory(registry)
    published = PublishedSocket(address, permissions("")) if isinstance(address, Path) else None
    if published is None:
        server = _listening(address, name, handler)
    else:
        with published.publishing() as private:
            server = _listening(private, name, handler)
    thread = threading.Thread(
        target=server.serve_forever, args=(POLL,), name="metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        if published is not None:
            published.withdraw()


def _listening(address: Any, name: str, handler: Any) -> _Server:
    class Server(_Server):
        address_family = _family(address)

    where: Any = str(address) if isinstance(address, Path) else address
    try:
        return Server(where, handler)
    except OSError as error:
        raise StartError(f"telemetry.metrics_addresses.{name}: {error.strerror}") from error


def _family(address: MetricsAddress) -> socket.AddressFamily:
    if isinstance(address, Path):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET
