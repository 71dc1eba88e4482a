"""The example as a process: it makes what the node needs, and is its orchestrator."""

import json
import os
import socket
import sys
from pathlib import Path
from string import Template
from typing import Any

from ..config.orchestrator import load
from ..config.reading import ConfigError
from ..mesh.sockets import SocketError, check_length, is_live
from ..orchestrator.process import run as run_node
from .minting import AUDIENCE, HOST, ISSUER, mint_certificates, mint_issuer, token, write_token

NAMES = ("identity", "ledger", "storage", "events")

ROLES = {
    "admin": ["*"],
    # Of the services themselves: what they ask of each other.
    "service": [
        "/blackhole.identity.v1.IdentityService/ResolveDID",
        "/blackhole.ledger.v1.LedgerService/Append",
        "/blackhole.events.v1.EventStream/Publish",
    ],
    "uploader": ["/blackhole.storage.v1.StorageService/*"],
}

STDERR = 2
"""Descriptor of the log, of this process and of those that it starts."""

HOW = Template("""\
A node with identity, ledger, storage and events starts, in about a second. Ctrl-C ends it.

  configuration  $dir/node.json
  log            $dir/log
  data           $dir/data

From Python, all that a node does:

  $python -m reference.example.hello $dir

At its Unix sockets, with a token:

  grpcurl -plaintext -unix -authority localhost \\
    -H "authorization: Bearer $$(cat $dir/admin.token)" \\
    $dir/s/orchestrator.sock blackhole.orchestrator.v1.OrchestratorService/ListServices

At identity's port, by mutual TLS besides:

  grpcurl -cacert $dir/ca.pem -cert $dir/client.pem -key $dir/client.key \\
    -H "authorization: Bearer $$(cat $dir/admin.token)" -d '{"method": "key"}' \\
    $host:$port blackhole.identity.v1.IdentityService/CreateDID

A token for somebody else, who may upload to storage if he is a DID of identity:

  $python -m reference example --dir $dir --token did:key:... --role uploader
""")
"""What is said at the start."""


def run(directory: Path) -> int:
    """Run the node until SIGTERM or Ctrl-C; return the exit status.

    Raises:
        ConfigError: the directory cannot be written to, its path is too long for sockets, or an
            example runs there already.
    """
    directory, port = directory.resolve(), free_port()
    sockets = [directory / "s" / f"{name}.sock" for name in ("orchestrator", *NAMES)]
    try:
        check_length(*sockets)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_live(sockets[0]):
            raise ConfigError("an example runs here already")
        prepare(directory, port)
    except (OSError, SocketError) as error:
        raise ConfigError(str(error)) from error
    settings = load(directory / "node.json")
    words = {"dir": directory, "python": sys.executable, "host": HOST, "port": port}
    print(HOW.substitute(words), flush=True)  # noqa: T201 - asked for
    terminal = os.dup(STDERR)
    log = directory / "log"
    # The terminal is for people; a start that fails is told there too.
    with log.open("ab") as file:
        os.dup2(file.fileno(), STDERR)
    status = run_node(settings)
    if status:
        last = log.read_bytes().splitlines()[-1:]
        os.write(terminal, b"".join([*last, b"\n"]))
    return status


def tell_token(directory: Path, subject: str, role: str) -> int:
    """Print a token for somebody; return the exit status.

    Raises:
        ConfigError: no example was ever started in the directory.
    """
    try:
        found = token(directory, subject, role)
    except OSError as error:
        raise ConfigError(str(error)) from error
    print(found)  # noqa: T201 - asked for
    return 0


def prepare(directory: Path, port: int) -> None:
    """Mint what the node needs, and write its configuration. Its data stay what they are."""
    mint_certificates(directory, "node", "client")
    mint_issuer(directory)
    write_token(directory, "admin", "admin", "admin")
    write_token(directory, "service", "node", "service")
    config = json.dumps(configuration(directory, port), indent=2)
    (directory / "node.json").write_text(f"{config}\n", encoding="utf-8")


def configuration(directory: Path, port: int) -> dict[str, Any]:
    """Return the configuration of the node, as ProtoJSON."""
    own = [sys.executable, "-m", "reference", "service"]
    services: dict[str, Any] = {name: {"command": [*own, name]} for name in NAMES}
    services["identity"]["tcp"] = {"host": HOST, "port": port}
    services["storage"]["dependencies"] = ["identity", "ledger"]
    return {
        "socket_dir": str(directory / "s"),
        "data_dir": str(directory / "data"),
        "services": services,
        "tls": {
            "cert_file": str(directory / "node.pem"),
            "key_file": str(directory / "node.key"),
            "ca_file": str(directory / "ca.pem"),
        },
        "auth": {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "jwks_file": str(directory / "jwks.json"),
            "token_file": str(directory / "service.token"),
            "roles": {name: {"methods": methods} for name, methods in ROLES.items()},
        },
    }


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
