"""Servers behind more and more of the reference's pipeline: `python -m benchmarks.pipeline`.

One process has several grpc.aio servers, each at a Unix socket: bare ones, some behind more and
more of the pipeline, and one with the stock way. Another one takes their spans; the log goes to
a file. `benchmarks/test_pipeline.py` calls them in turn.
"""

import argparse
import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt import PyJWKSet, PyJWS
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

SERVICE = "blackhole.conformance.v1.Probe"
METHOD = f"/{SERVICE}/Unary"
NAME = "identity"

BOUND = 10.0
"""Seconds in which spans are exported, or something is broken."""

BARE, AGAIN, WHOLE, STOCK = "bare", "bare-again", "traced", "stock"

ROWS = {
    BARE: "a bare grpc.aio server",
    AGAIN: "the same again: how far to trust the rest",
    "wrapped": "the pipeline without a stage",
    "basic": "and the limit on metadata",
    "guarded": "and tokens, roles",
    "limited": "and rate limits, of caller and service",
    "metered": "and metrics",
    "logged": "and a line of the log",
    WHOLE: "and a span, exported: the whole pipeline",
    STOCK: "the stock way: each library's own, stacked up",
}
"""What each server is."""

EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService"


async def echo(request: probe_pb2.UnaryRequest, _context: Any) -> probe_pb2.UnaryResponse:
    """Answer with the same payload."""
    return probe_pb2.UnaryResponse(payload=request.payload)


async def collect(delay: float) -> None:
    """Take spans, each batch after so many seconds, and count nothing; print the port."""

    async def export(_request: bytes, _context: Any) -> bytes:
        await asyncio.sleep(delay)
        return b""

    server = grpc.aio.server()
    taken: Any = grpc.unary_unary_rpc_method_handler(export)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(EXPORT, {"Export": taken}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


async def serve(directory: Path, prefix: str, port: str, only: str) -> None:
    """Serve rows at sockets of their names, until the process is ended.

    Args:
        directory: of the sockets, and of what `configure` wrote.
        prefix: of the sockets' names, where several processes serve.
        port: of the collector.
        only: one row; empty: all of them.
    """
    logging.configure()
    handler = grpc.unary_unary_rpc_method_handler(
        echo, probe_pb2.UnaryRequest.FromString, probe_pb2.UnaryResponse.SerializeToString
    )
    methods: dict[str, Any] = {"Unary": handler}
    generic = grpc.method_handlers_generic_handler(SERVICE, methods)
    endpoint = f"127.0.0.1:{port}"
    with (directory / f"{prefix}stock.log").open("w") as log:
        async with exporting(NAME, Traces(endpoint, 1.0, BOUND)) as tracer:
            settings = load(directory / "node.json", NAME)
            rows = servers_of(settings, tracer)
            if stock := _stock(settings, endpoint, log):
                rows[STOCK] = stock
            served = {row: server for row, server in rows.items() if row == only or not only}
            for row, server in served.items():
                # As generated code does, which adds each handler twice.
                server.add_generic_rpc_handlers((generic,))
                server.add_registered_method_handlers(SERVICE, methods)
                server.add_insecure_port(f"unix:{directory / f'{prefix}{row}'}")
                await server.start()
            print("serving", flush=True)
            await asyncio.gather(*(server.wait_for_termination() for server in served.values()))


def servers_of(settings: Settings, tracer: Tracer) -> dict[str, Any]:
    """Return a server a row, which has no method yet."""
    silent = replace(settings, log_level="warning")
    guarded = replace(silent, rate_limit=None)
    return {
        BARE: grpc.aio.server(),
        AGAIN: grpc.aio.server(),
        "wrapped": make_server(settings, []),
        "basic": make_server(settings, stages_of(replace(guarded, auth=None))),
        "guarded": make_server(settings, stages_of(guarded)),
        "limited": make_server(settings, stages_of(silent)),
        "metered": make_server(settings, [CallMetrics(), *stages_of(silent)]),
        "logged": make_server(settings, [CallMetrics(), *stages_of(settings)]),
        WHOLE: make_server(settings, [Tracing(tracer), CallMetrics(), *stages_of(settings)]),
    }


def _stock(settings: Settings, endpoint: str, log: Any) -> Any:
    """Return the server of the stock way; None where one of its libraries is missing."""
    try:
        from .stock import stock_server  # noqa: PLC0415 - it may be missing
    except ImportError:
        return None
    assert settings.auth is not None, "tokens are asked for"
    keys = PyJWKSet.from_json(settings.auth.jwks_file.read_text()).keys
    return stock_server(settings.auth, {str(key.key_id): key.key for key in keys}, endpoint, log)


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


def main() -> None:
    """Be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    collecting = roles.add_parser("collect")
    collecting.add_argument("--delay", type=float, default=0.0)
    serving = roles.add_parser("serve")
    serving.add_argument("directory", type=Path)
    serving.add_argument("port")
    serving.add_argument("--prefix", default="")
    serving.add_argument("--only", default="")
    options = parser.parse_args()
    if options.role == "collect":
        asyncio.run(collect(options.delay))
    else:
        asyncio.run(serve(options.directory, options.prefix, options.port, options.only))


if __name__ == "__main__":
    main()
