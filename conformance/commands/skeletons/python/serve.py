"""A Blackhole node, at its beginning: the identity service says that it is healthy, and no more.

`serve.py service identity --config FILE [--version V]`, as the launch contract has it. Whatever is
not written yet is refused by name: roles, services and settings here, methods by gRPC itself.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from blackhole.config.v1.config_pb2 import NodeConfig

HONOURED = ("socket_dir", "data_dir", "services", "grace_period", "health", "identity")
OF_OTHERS = (
    *("pool", "retry", "circuit", "batch", "registry", "default_timeout"),  # the mesh client's
    *("orchestrator", "events", "storage"),
)
OF_OTHERS_IN_AN_ENTRY = ("command", "dependencies", "limits", "metadata", "version")
"""Settings that this service keeps to, and those that are none of its business. Any other is
refused: move it to HONOURED once it does something."""

LONGEST_SOCKET = 107
"""Bytes of a socket's path that the kernel takes at most."""


def nothing_yet(server: grpc.Server, config: NodeConfig) -> None:
    """Add no methods to a server: gRPC answers each of them with UNIMPLEMENTED."""


ROLES: dict[str, Callable[[grpc.Server, NodeConfig], None]] = {
    "service identity": nothing_yet,
}
"""What is written, and what adds its methods to a server: put yours here."""


def main() -> None:
    """Run the role that the command line asks for, until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role")
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--version", default="")
    options = parser.parse_args()
    role = f"{options.role} {options.name}".strip()
    if role not in ROLES:
        refuse(f"{role}: is not written yet")
    if options.config is None:
        refuse("--config: is missing")
    serve(role, options.version, read(options.config, options.name))


def read(file: Path, service: str) -> NodeConfig:
    """Return a configuration that this program can keep to; refuse any other by its field."""
    config = NodeConfig()
    try:
        # Parse refuses unknown fields, and values of another type, unless told otherwise.
        json_format.Parse(file.read_text(encoding="utf-8"), config)
    except (OSError, ValueError, json_format.ParseError) as error:
        refuse(f"{file}: {error}")
    for field, path in leaves(config):
        if field not in (*HONOURED, *OF_OTHERS):
            refuse(f"{path}: this setting is not supported yet")
    if service and service not in config.services:
        refuse(f"services: has no entry for {service}")
    for field, path in leaves(config.services[service]) if service else ():
        if field not in OF_OTHERS_IN_AN_ENTRY:
            refuse(f"services.{service}.{path}: this setting is not supported yet")
    if config.grace_period.ToNanoseconds() < 0:
        refuse("grace_period: is negative")
    return config


def leaves(message: Message, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each setting that is there: its first name, and its whole path."""
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        inner = []
        if isinstance(value, Message) and value.DESCRIPTOR.full_name.startswith("blackhole."):
            inner = [one for _, one in leaves(value, f"{path}.")]
        for one in inner or [path]:
            yield one.partition(".")[0], one


def serve(role: str, version: str, config: NodeConfig) -> None:
    """Serve until SIGTERM, then let calls in flight end."""
    name = role.rpartition(" ")[2]
    path = socket_path(name, version, config)
    if role != name:
        make_store(Path(config.data_dir or "/var/lib/blackhole") / name)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    server = grpc.server(ThreadPoolExecutor(max_workers=16))
    status = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    ROLES[role](server, config)

    # The socket is its owner's alone from its first moment on.
    before = os.umask(0o177)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    os.umask(before)
    for one in ("", name):
        status.set(one, health_pb2.HealthCheckResponse.SERVING)
    log("info", "serving", name, socket=str(path))

    stop.wait()
    status.enter_graceful_shutdown()
    path.unlink(missing_ok=True)
    seconds = config.grace_period.ToNanoseconds() / 1e9 if config.HasField("grace_period") else 5
    server.stop(seconds).wait()
    log("info", "stopped", name)


def socket_path(name: str, version: str, config: NodeConfig) -> Path:
    """Return where to listen; refuse a place that cannot be used, or is somebody's."""
    directory = Path(config.socket_dir or "/var/run/blackhole")
    path = directory / (f"{name}@{version}.sock" if version else f"{name}.sock")
    if len(os.fsencode(path)) > LONGEST_SOCKET:
        refuse(f"socket_dir: {path} is longer than {LONGEST_SOCKET} bytes")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        refuse(f"socket_dir: {error}")
    if os.path.lexists(path) and not (path.is_socket() and not path.is_symlink()):
        refuse(f"{path}: is there, and no socket")
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        refuse(f"{path}: another process serves there")
    path.unlink(missing_ok=True)
    return path


def make_store(directory: Path) -> None:
    """Make the directory of the service, and make sure that it can be written to."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        refuse(f"data_dir: {error}")


def log(level: str, message: str, service: str = "", **other: Any) -> None:
    """Write a line of the log: one JSON object on standard error."""
    time = dt.datetime.now(dt.UTC).isoformat()
    line = {"time": time, "level": level, "message": message, "service": service} | other
    print(json.dumps(line), file=sys.stderr, flush=True)


def refuse(reason: str) -> NoReturn:
    """Say why the process cannot start, and end it."""
    log("error", reason)
    sys.exit(2)


if __name__ == "__main__":
    main()
