"""Processes that ask for tokens or bear one: start-up errors, imports, and what the log holds."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from blackhole.identity.v1 import identity_pb2 as pb
from blackhole.identity.v1 import identity_pb2_grpc
from reference.config.service import load
from reference.mesh.errors import StartError
from reference.mesh.security.guard import guards
from reference.mesh.server import stages_of

from .guarded import bearer
from .mesh_place import Place
from .minting import AUDIENCE, ISSUER, Key, key_set

KEY = Key("one")
SERVICE = "/blackhole.identity.v1.IdentityService"
PRESENT = 30.0
"""Seconds for a process to start or to end on a busy host."""


def _auth(place: Place, **changes: Any) -> dict[str, Any]:
    file = place.root / "keys.json"
    file.write_bytes(key_set(KEY))
    usual = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks_file": str(file),
        "roles": {"writer": {"methods": [f"{SERVICE}/*"]}},
    }
    return usual | changes


def _node(place: Place, **changes: Any) -> Path:
    file = place.root / "node.json"
    usual = {
        "socket_dir": str(place.directory),
        "data_dir": str(place.root),
        "services": {"identity": {"rate_limit": {"rate": 0.001, "burst": 3}}},
        "telemetry": {"log_level": "LOG_LEVEL_ERROR"},
    }
    file.write_text(json.dumps(usual | changes))
    return file


def _command(*arguments: str, file: Path) -> list[str]:
    return [sys.executable, "-m", "reference", *arguments, "--config", str(file)]


@dataclass
class Running:
    """A service process; its log once it has ended."""

    stub: Any
    log: str = ""

    @property
    def lines(self) -> list[Any]:
        """The log, parsed."""
        return [json.loads(line) for line in self.log.splitlines()]


@contextmanager
def _identity(place: Place, file: Path) -> Iterator[Running]:
    command = _command("service", "identity", file=file)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = f"unix:{place.directory / 'identity.sock'}"
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(address, options=options) as channel:
                running = Running(identity_pb2_grpc.IdentityServiceStub(channel))
                running.stub.Check(pb.HealthCheckRequest(), wait_for_ready=True, timeout=PRESENT)
                yield running
        finally:
            process.terminate()
            running.log = process.communicate(timeout=PRESENT)[1]
    assert process.returncode == 0


def test_a_process_guards_and_audits_whatever_its_log_level_is(place: Place) -> None:
    token = KEY.token(role="writer", exp=time.time() + 600)
    metadata = (bearer(token), ("x-request-id", "r"))
    with _identity(place, _node(place, auth=_auth(place))) as running:
        did = running.stub.CreateDID(pb.CreateDIDRequest(method="x"), metadata=metadata).did
        refused = []
        for entries in ((), (bearer(token[:-8]),), metadata, metadata, metadata):
            try:
                running.stub.ResolveDID(pb.ResolveDIDRequest(did=did), metadata=entries)
            except grpc.RpcError as error:
                refused.append((error.code().name, error.details()))

    assert refused == [
        ("UNAUTHENTICATED", "missing token"),
        ("UNAUTHENTICATED", "invalid token"),
        ("RESOURCE_EXHAUSTED", "rate limit exceeded"),
    ]
    audit = [one for one in running.lines if one["message"] == "audit"]
    found = [(one["event"], one["level"], one["method"], one["subject"]) for one in audit]
    assert found == [
        ("did_created", "info", f"{SERVICE}/CreateDID", "alice"),
        ("authentication_refused", "warning", f"{SERVICE}/ResolveDID", ""),
        ("authentication_refused", "warning", f"{SERVICE}/ResolveDID", ""),
        ("rate_limited", "warning", f"{SERVICE}/ResolveDID", "alice"),
    ]
    assert [(one["code"], one["level"]) for one in running.lines if one not in audit] == [
        (code, "error") for code, _ in refused
    ]
    assert audit[0]["did"] == did
    assert all(part not in running.log for part in token.split("."))


def test_a_token_of_a_mebibyte_is_refused_and_the_process_lives(place: Place) -> None:
    with _identity(place, _node(place, auth=_auth(place))) as running:
        with pytest.raises(grpc.RpcError) as caught:
            running.stub.CreateDID(pb.CreateDIDRequest(), metadata=(bearer("A" * (1 << 20)),))
        running.stub.Check(pb.HealthCheckRequest(), timeout=PRESENT)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "AAAA" not in running.log


def _fails(*arguments: str, file: Path) -> tuple[int, str]:
    """Return exit status and message of a process that does not start."""
    done = subprocess.run(
        _command(*arguments, file=file), capture_output=True, timeout=PRESENT, check=False
    )
    (line,) = done.stderr.decode().splitlines()
    return done.returncode, json.loads(line)["message"]


def test_a_key_set_that_cannot_be_used_is_named(place: Place) -> None:
    file = place.root / "none.json"

    found = _fails("service", "identity", file=_node(place, auth=_auth(place, jwks_file=str(file))))

    assert found == (1, f"auth.jwks_file: {file}: No such file or directory")


def test_a_token_file_that_cannot_be_used_is_named(place: Place) -> None:
    file = place.root / "token"
    file.write_text("a.b.c")
    file.chmod(0o640)

    found = _fails("driver", file=_node(place, auth={"token_file": str(file)}))

    assert found == (
        1,
        f"auth.token_file: {file}: others can read it: its mode must be 0600 or less",
    )


def test_a_port_that_would_be_called_in_plaintext_is_named(place: Place) -> None:
    services = {"identity": {"tcp": {"port": 1}}}

    status, message = _fails(
        "driver", file=_node(place, auth={"token_file": "/t"}, services=services)
    )

    assert status == 2
    assert "tls: must be given, else services.identity.tcp is called" in message


@pytest.mark.parametrize(
    "module", ["reference.services.identity.process", "reference.driver.process"]
)
def test_who_asks_for_no_token_imports_nothing_for_it(module: str) -> None:
    script = (
        f"import sys, {module}\n"
        "sys.exit(any(name in sys.modules for name in ('jwt', 'cryptography')))"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_what_guards_a_process(place: Place) -> None:
    def made(**changes: Any) -> list[str]:
        settings = load(_node(place, **changes), "identity")
        return [type(stage).__name__ for stage in stages_of(settings)]

    without: dict[str, Any] = {"services": {"identity": {}}}
    assert made(**without) == ["CallLog", "MetadataLimit"]
    assert made() == ["CallLog", "MetadataLimit", "Guard"]
    assert made(**without, auth=_auth(place)) == ["CallLog", "MetadataLimit", "Guard"]


def test_a_broken_key_set_is_no_guard(place: Place) -> None:
    settings = load(_node(place, auth=_auth(place)), "identity")
    (place.root / "keys.json").write_text("{}")

    with pytest.raises(StartError, match=r"auth.jwks_file: .*: is no JSON Web Key Set"):
        guards(settings)
