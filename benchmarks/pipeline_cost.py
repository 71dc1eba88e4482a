"""What the server pipeline costs a call: `python -m benchmarks.pipeline_cost`.

One process has several grpc.aio servers, each at a Unix socket: bare ones, and some behind more
and more of the pipeline. Another process, on another CPU where there are two, calls them in
turn: a unary call of 64 bytes, with a token in its metadata, the same for all. A third one takes
the spans, and the log goes to a file.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt import PyJWS
from jwt.algorithms import OKPAlgorithm

from blackhole.conformance.v1 import probe_pb2
from reference.config.service import Settings, load
from reference.config.telemetry import Traces
from reference.mesh.metering import CallMetrics
from reference.mesh.server import make_server, stages_of
from reference.mesh.stages import Tracing
from reference.mesh.telemetry import logging
from reference.mesh.telemetry.otlp import exporting
from reference.mesh.telemetry.tracing import Tracer

from .interleaved import measure

PAYLOAD = b"x" * 64
SERVICE = "blackhole.conformance.v1.Probe"
METHOD = f"/{SERVICE}/Unary"
NAME = "identity"

BOUND = 10.0
"""Seconds in which every call is answered, or something is broken."""

WARM_UP = 500
"""Calls of each arm before anything is counted."""

ROWS = {
    "bare": "a bare grpc.aio server",
    "bare-again": "the same again: how far to trust the rest",
    "wrapped": "the pipeline without a stage",
    "basic": "and the limit on metadata",
    "guarded": "and tokens, roles",
    "limited": "and rate limits, of caller and service",
    "metered": "and metrics",
    "logged": "and a line of the log",
    "traced": "and a span, exported: the whole pipeline",
}

EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService"


async def echo(request: probe_pb2.UnaryRequest, _context: Any) -> probe_pb2.UnaryResponse:
    """Answer with the same payload."""
    return probe_pb2.UnaryResponse(payload=request.payload)


def main() -> None:
    """Measure and print, or with --serve be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--blocks", type=int, default=150, help="of 5 calls an arm, a repetition")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--collect", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.collect:
        asyncio.run(collect(options.collect))
        return
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    with tempfile.TemporaryDirectory(prefix="bh") as directory:
        report(Path(directory), options.repetitions, options.blocks)


def report(directory: Path, repetitions: int, blocks: int) -> None:
    """Measure all rows, and print them."""
    with served(directory) as token:
        arms = {row: caller(directory / row, token) for row in ROWS}
        for call in arms.values():
            for _ in range(WARM_UP):
                call()
        found = measure(arms, repetitions=repetitions, blocks=blocks)
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"grpcio {grpc.__version__}; unary, {len(PAYLOAD)} B, Unix socket; "
        f"median of {repetitions} repetitions (least-most)\n"
    )
    print(f"{'':44}{'us a call':>18}{'to bare':>22}{'p99 to bare':>20}")
    for row, says in ROWS.items():
        one = found[row]
        told = f"{one.micros.text(0):>18}{one.ratio.text(3):>22}{one.tail.text(2):>20}"
        print(f"{says:44}{told}")


def caller(socket: Path, token: str) -> Callable[[], object]:
    """Return what makes one call, and checks its answer."""
    channel = grpc.insecure_channel(f"unix:{socket}")
    make: Any = channel.unary_unary(METHOD)
    body = probe_pb2.UnaryRequest(payload=PAYLOAD).SerializeToString()
    metadata = (("authorization", f"Bearer {token}"), ("x-request-id", "benchmark"))

    def call() -> None:
        if make(body, metadata=metadata, timeout=BOUND) != body:
            sys.exit("the answer is another one")

    return call


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """Run the servers in a process of their own; give the token to call them with."""
    token = configure(directory)
    with started("--collect", directory), started("--serve", directory):
        pin(1)
        yield token


@contextmanager
def started(role: str, directory: Path) -> Iterator[None]:
    """Run a process of this program until the end, once it says that it serves."""
    command = [sys.executable, "-m", "benchmarks.pipeline_cost", role, str(directory)]
    with (
        (directory / f"log{role}").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            if process.stdout is None or process.stdout.readline() != b"serving\n":
                sys.exit(f"{role}: did not start: {(directory / f'log{role}').read_text()}")
            yield
        finally:
            process.terminate()


async def collect(directory: Path) -> None:
    """Take spans, and count nothing."""

    async def export(_request: bytes, _context: Any) -> bytes:
        return b""

    pin(1)
    server = grpc.aio.server()
    taken: Any = grpc.unary_unary_rpc_method_handler(export)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(EXPORT, {"Export": taken}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    (directory / "port").write_text(str(port))
    print("serving", flush=True)
    await server.wait_for_termination()


async def serve(directory: Path) -> None:
    """Serve every row at a socket of its name, until the process is ended."""
    pin(0)
    logging.configure()
    handler = grpc.unary_unary_rpc_method_handler(
        echo, probe_pb2.UnaryRequest.FromString, probe_pb2.UnaryResponse.SerializeToString
    )
    endpoint = f"127.0.0.1:{(directory / 'port').read_text()}"
    async with exporting(NAME, Traces(endpoint, 1.0, BOUND)) as tracer:
        rows = servers_of(load(directory / "node.json", NAME), tracer)
        for row, server in rows.items():
            server.add_registered_method_handlers(SERVICE, {"Unary": handler})
            server.add_insecure_port(f"unix:{directory / row}")
            await server.start()
        print("serving", flush=True)
        await asyncio.gather(*(server.wait_for_termination() for server in rows.values()))


def servers_of(settings: Settings, tracer: Tracer) -> dict[str, Any]:
    """Return a server a row, which has no method yet."""
    silent = replace(settings, log_level="warning")
    guarded = replace(silent, rate_limit=None)
    return {
        "bare": grpc.aio.server(),
        "bare-again": grpc.aio.server(),
        "wrapped": make_server(settings, []),
        "basic": make_server(settings, stages_of(replace(guarded, auth=None))),
        "guarded": make_server(settings, stages_of(guarded)),
        "limited": make_server(settings, stages_of(silent)),
        "metered": make_server(settings, [CallMetrics(), *stages_of(silent)]),
        "logged": make_server(settings, [CallMetrics(), *stages_of(settings)]),
        "traced": make_server(settings, [Tracing(tracer), CallMetrics(), *stages_of(settings)]),
    }


def configure(directory: Path) -> str:
    """Write a node's configuration and key set; return a token that may call everything."""
    private = Ed25519PrivateKey.generate()
    public = OKPAlgorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": "benchmark"}
    keys = directory / "keys.json"
    keys.write_text(json.dumps({"keys": [public]}))
    often = {"rate": 1e6, "burst": 10**6, "caller_rate": 1e6, "caller_burst": 10**6}
    node = {
        "services": {NAME: {"rate_limit": often}},
        "auth": {
            "issuer": "benchmark",
            "audience": "benchmark",
            "jwks_file": str(keys),
            "roles": {
                "caller": {"methods": [METHOD]},
                "other": {"methods": ["/other.Service/*"]},
            },
        },
    }
    (directory / "node.json").write_text(json.dumps(node))
    claims = {
        "iss": "benchmark",
        "aud": "benchmark",
        "sub": "benchmark",
        "role": "caller",
        "exp": time.time() + 3600,
    }
    return PyJWS().encode(json.dumps(claims).encode(), private, "EdDSA", {"kid": "benchmark"})


def pin(number: int) -> None:
    """Keep this process on one CPU, if there are two: their sharing is the largest noise."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:
        os.sched_setaffinity(0, {cpus[number]})


if __name__ == "__main__":
    main()
