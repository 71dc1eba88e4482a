"""A service process of the mesh: a gRPC server at its socket and port, until SIGTERM.

Life: open, publish, serve, drain, stop. Draining (PROC-6): health says
NOT_SERVING, streams that never end by themselves are ended, socket and port go,
and calls in flight have the grace period to finish.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ..config.reading import ProcessSettings
from ..config.tls import HANDSHAKE_TIMEOUT
from .errors import StartError
from .health import Health, HealthServicer
from .listening import Listeners, raise_file_limit
from .metering import CallMetrics
from .piped import PipedServer
from .pipeline import Pipeline
from .security.guard import guards
from .sockets import SocketError
from .stages import CallLog, MetadataLimit, Stage, Tracing
from .telemetry import logging
from .telemetry.measures import PROCESS
from .telemetry.tracing import use

OWN_HEADERS = 1024
"""Bytes that gRPC's own headers may take beside the caller's metadata; seen: 700."""

COMPRESSION_LEVEL = 1
"""GRPC_COMPRESS_LEVEL_LOW: gzip where the caller lists it, else deflate. Higher ones turn that
round, and pay no heed to what is accepted of requests."""

IDENTITY_OR_GZIP = 0b101
"""Encodings of requests by their number in gRPC's core: identity 0, deflate 1, gzip 2."""

LOOKAHEAD = 1 << 20
"""Bytes that a caller may send on a stream before the handler reads them: as many in flight let a
line of 10 ms carry 100 MB a second."""

FAILED_START = 1
"""Exit status of a start that its surroundings made impossible."""


class Service(Protocol):
    """What a service brings to its process."""

    @property
    def full_names(self) -> Sequence[str]:
        """Names of its gRPC services."""

    def add_to(self, server: Any) -> None:
        """Register the servicers."""

    def drain(self) -> None:
        """End what would never end by itself."""


Settings = TypeVar("Settings", bound=ProcessSettings)

Opener = Callable[[Settings, Health], AbstractAsyncContextManager[Service]]
"""Opens a service's store and all it needs, and closes it after the last call."""


def run(settings: Settings, opener: Opener[Settings]) -> int:
    """Run a service until SIGTERM or SIGINT; return the exit status.

    Args:
        settings: the configuration.
        opener: makes the service.
    """
    logging.configure(service=settings.name, level=settings.log_level)
    # All files and sockets of this process are its user's alone unless said otherwise.
    os.umask(0o077)
    raise_file_limit()
    try:
        asyncio.run(serve(settings, opener))
    except (StartError, SocketError) as error:
        logging.logger().error(str(error))
        return FAILED_START
    finally:
        logging.flush()
    return 0


async def serve(settings: Settings, opener: Opener[Settings]) -> None:
    """Serve until a signal asks to stop.

    Raises:
        StartError: the service cannot open what it needs, cannot use a file, or not listen at
            its port.
        SocketError: its socket cannot be published.
    """
    stop = stop_signal()
    health = Health(settings.name)
    listeners = Listeners(settings)
    metrics = CallMetrics()
    measured = [] if settings.telemetry.metrics is None else [metrics]
    async with traced(settings) as tracing, opener(settings, health) as service:
        stages = [*tracing, *measured, *stages_of(settings)]
        server = make_server(settings, stages)
        service.add_to(server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
        add_reflection(server, service.full_names)
        with exposition(settings, metrics, server.settle):
            try:
                await listeners.start(server)
                logging.logger().info("serving", **listeners.told)
                await stop.wait()
                logging.logger().info("draining", grace_period=settings.grace_period)
                drain(health, service, listeners)
            finally:
                await server.stop(settings.grace_period)
                listeners.withdraw()
    logging.logger().info("stopped")


def stages_of(settings: ProcessSettings) -> list[Stage]:
    """Return what every call passes, in this order.

    Raises:
        StartError: a file that one of them needs cannot be used.
    """
    log = CallLog(settings.log_level)
    return [log, MetadataLimit(settings.limits.metadata), *guards(settings)]


@contextmanager
def exposition(
    settings: ProcessSettings, metrics: CallMetrics, settle: Callable[[], None]
) -> Iterator[None]:
    """Serve the metrics of calls, and of all else, where the configuration says so.

    Args:
        settings: of this process.
        metrics: of calls.
        settle: lets them know of every call that has ended.

    Raises:
        StartError: it cannot listen there.
        SocketError: the same, of a Unix socket.
    """
    if settings.telemetry.metrics is None:
        yield
        return
    # Imported here: nobody else needs an HTTP server.
    from .exposition import Metrics, exposed  # noqa: PLC0415

    told = Metrics(metrics, PROCESS, asyncio.get_running_loop(), settle)
    with exposed(settings.telemetry.metrics, settings.name, told):
        yield


@asynccontextmanager
async def traced(settings: ProcessSettings) -> AsyncIterator[Sequence[Stage]]:
    """Trace calls where the configuration says so: give the stage that does, or none."""
    if settings.telemetry.traces is None:
        yield ()
        return
    # Imported here: half of what a process needs to start.
    from .telemetry.otlp import exporting  # noqa: PLC0415

    async with exporting(settings.name, settings.telemetry.traces) as tracer:
        use(tracer)
        try:
            yield (Tracing(tracer),)
        finally:
            use(None)


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set; the second of them changes nothing (PROC-8)."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def drain(health: Health, service: Service, listeners: Listeners) -> None:
    """Tell everybody that this process is going, and take no new connections."""
    health.drain()
    service.drain()
    listeners.withdraw()


def make_server(settings: ProcessSettings, stages: Sequence[Stage]) -> PipedServer:
    """Return a gRPC server with the pipeline and the limits."""
    limits = settings.limits
    metadata = limits.metadata + OWN_HEADERS
    handshake = HANDSHAKE_TIMEOUT if settings.port is None else settings.port.tls.handshake_timeout
    pipeline = Pipeline(stages, limits.message, settings.compression.min_bytes)
    server = grpc.aio.server(
        handlers=[pipeline],
        options=[
            ("grpc.max_receive_message_length", limits.message),
            # The pipeline refuses an answer that is too large, and knows why.
            ("grpc.max_send_message_length", -1),
            # The pipeline refuses what is above the exact limit; this keeps it from being read.
            # With one of the two above the other gRPC refuses some calls between by chance.
            ("grpc.max_metadata_size", metadata),
            ("grpc.absolute_max_metadata_size", metadata),
            # Answers are compressed for those who accept it, and for nobody else (CMP-2, CMP-3).
            # The option that names an algorithm does it for everybody.
            ("grpc.default_compression_level", COMPRESSION_LEVEL),
            ("grpc.compression_enabled_algorithms_bitset", IDENTITY_OR_GZIP),
            # Callers may ping as often as they like: they are ours.
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 0),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.so_reuseport", 0),
            # What a caller may send before it is read does not grow with what gRPC believes the
            # line to hold: on a busy host that was 300 MiB of one upload (STO-3).
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", LOOKAHEAD),
            # Who says nothing, or half of it, holds a connection for so long (TLS-12).
            ("grpc.server_handshake_timeout_ms", round(handshake * 1000)),
        ],
    )
    return PipedServer(server, pipeline)


def add_reflection(server: Any, names: Sequence[str]) -> None:
    """Let callers ask for the schema (IDL-1)."""
    # Imported here: a failed start does not need it.
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415

    standard = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection([*names, standard, reflection.SERVICE_NAME], server)
