"""Chapter 6: the interface definitions (IDL-1 to IDL-5, IDL-7)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    FileDescriptorSet,
)

from blackhole.identity.v1 import identity_pb2 as pb

from .harness import reflection
from .harness.identity import SERVICE, Identity
from .harness.judging import attach, did, expect, not_run
from .harness.nodes import Node
from .harness.orchestrator import SERVICE as ORCHESTRATOR
from .harness.places import PROTOS
from .harness.schemas import expect_served, file_of, methods_of

BUF = shutil.which("buf", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
"""The program buf: that of the suite's own environment first."""

BUF_TIMEOUT = 60.0
"""Seconds for one run of buf: it takes about one."""

SERVICE_FILE = pb.DESCRIPTOR.name
"""The schema that this service serves."""

UNKNOWN_FIELDS = b"".join(
    (
        b"\xa0\x06\x2a",  # field 100, varint 42
        b"\xa9\x06" + b"\x01" * 8,  # field 101, 64-bit
        b"\xb2\x06\x05hello",  # field 102, length-delimited
        b"\xbd\x06" + b"\x02" * 4,  # field 103, 32-bit
        b"\xf8\xff\xff\xff\x0f\x01",  # field 536,870,911, the largest, varint 1
    )
)
"""Fields that no message of the schema has, one of each wire type."""


async def test_idl_1_the_service_offers_exactly_the_schema(identity: Identity) -> None:
    """IDL-1: Methods, messages, fields and enums are those of protos/."""
    schema = await reflection.read(identity.channel)
    did("read the service's own descriptors by reflection")

    expect_served(schema, pb.DESCRIPTOR, SERVICE)


async def test_idl_2_create_did_keeps_its_http_binding(identity: Identity) -> None:
    """IDL-2: CreateDID is POST /v1/identity/dids with the whole body."""
    schema = await reflection.read(identity.channel)

    options = next(
        m.options for m in methods_of(file_of(schema, SERVICE), SERVICE) if m.name == "CreateDID"
    )
    rule = options.Extensions[annotations_pb2.http]

    expect(
        (rule.WhichOneof("pattern"), rule.post, rule.body),
        equals=("post", "/v1/identity/dids", "*"),
        what="google.api.http of CreateDID",
    )


@pytest.mark.parametrize("position", ["before", "after", "nested"])
async def test_idl_3_unknown_fields_are_ignored(identity: Identity, position: str) -> None:
    """IDL-3: A request with fields of a newer schema is answered as without them."""
    encryption = pb.EncryptionConfig(algorithm=pb.ENCRYPTION_ALGORITHM_AES_256_GCM, key_id="k")
    request = pb.CreateDIDRequest(method="key", properties={"name": "Ada"}, encryption=encryption)

    created = await identity.call("CreateDID", _with_unknown(request, position))
    expect((created.code, created.message), equals=("OK", ""), what="CreateDID, unknown fields")
    resolving = pb.ResolveDIDRequest(did=created.response.did)
    resolved = await identity.call("ResolveDID", _with_unknown(resolving, position))

    expect((resolved.code, resolved.message), equals=("OK", ""), what="ResolveDID, unknown fields")
    expect(
        (dict(resolved.response.document.properties), resolved.response.document.encryption.key_id),
        equals=({"name": "Ada"}, "k"),
        what="what was created",
    )


@pytest.mark.parametrize("number", [99, -1, 0])
async def test_idl_4_an_unknown_algorithm_is_refused_by_name(
    identity: Identity, number: int
) -> None:
    """IDL-4: An enum number that the service does not know, or zero, is refused by name."""
    for known in (1, 2):
        control = await identity.call("CreateDID", _encrypted(known))
        expect(control.code, equals="OK", what=f"CreateDID, algorithm {known}")

    answer = await identity.call("CreateDID", _encrypted(number))

    expect(
        (answer.code, answer.fields),
        equals=("INVALID_ARGUMENT", ("encryption.algorithm",)),
        what=f"CreateDID, algorithm {number}",
    )


@pytest.mark.parametrize("number", [99, 0])
async def test_idl_4_an_unknown_event_type_is_refused_by_name(
    identity: Identity, number: int
) -> None:
    """IDL-4: An event type that the service does not know, or zero, is refused by name."""
    control = await identity.events(
        pb.EVENT_TYPE_CREATED, pb.EVENT_TYPE_UPDATED, pb.EVENT_TYPE_DELETED
    )
    expect(await control.silent(0.05), equals=True, what="a subscription to known types is open")
    control.cancel()

    refused = await identity.events(number)
    answer = await refused.ended()

    expect(
        (answer.code, answer.fields),
        equals=("INVALID_ARGUMENT", ("types[0]",)),
        what=f"StreamDIDEvents, type {number}",
    )


@pytest.mark.parametrize(
    ("method", "code", "fields"),
    [
        ("CreateDID", "INVALID_ARGUMENT", ("method",)),
        ("ResolveDID", "INVALID_ARGUMENT", ("did",)),
        ("UpdateDID", "INVALID_ARGUMENT", ("did",)),
        ("DeleteDID", "INVALID_ARGUMENT", ("did",)),
        ("BatchCreateDIDs", "OK", ()),
        ("Check", "OK", ()),
    ],
)
async def test_idl_4_an_empty_request_has_a_defined_answer(
    identity: Identity, method: str, code: str, fields: tuple[str, ...]
) -> None:
    """IDL-4: A request with nothing set gets a defined answer."""
    answer = await identity.call(method, b"")

    expect((answer.code, answer.fields), equals=(code, fields), what=f"{method}, empty request")


@pytest.mark.parametrize(
    "path", [f"/{SERVICE}/NoSuchMethod", "/blackhole.nowhere.v1.NoService/Call", "/nothing"]
)
async def test_idl_5_a_method_that_does_not_exist_is_unimplemented(
    identity: Identity, path: str
) -> None:
    """IDL-5: A call of a method that does not exist is UNIMPLEMENTED, and costs nothing else."""
    channel = identity.connect()
    control = await identity.check(channel=channel)
    expect(control.code, equals="OK", what="Check on the same connection, before")

    answer = await channel.unary(path, b"", None)

    after = await identity.check(channel=channel)
    expect(answer.code, equals="UNIMPLEMENTED", what=f"code of {path}")
    expect(after.code, equals="OK", what="Check on the same connection, after")


@pytest.mark.transports("unix")
@pytest.mark.also_profile("orchestrator")
async def test_idl_5_the_orchestrator_has_no_other_method(node: Node) -> None:
    """IDL-5: A made-up method of the orchestrator is UNIMPLEMENTED."""
    orchestrator = await node.orchestrate(services=["identity"])
    channel = orchestrator.connect()
    control = await orchestrator.check(channel=channel)

    answer = await channel.unary(f"/{ORCHESTRATOR}/NoSuchMethod", b"", None)

    after = await orchestrator.check(channel=channel)
    expect(control.code, equals="OK", what="Check on the same connection, before")
    expect(answer.code, equals="UNIMPLEMENTED", what=f"code of {ORCHESTRATOR}/NoSuchMethod")
    expect(after.code, equals="OK", what="Check on the same connection, after")


async def test_idl_7_the_served_schemas_obey_the_lint_rules(
    identity: Identity, tmp_path: Path
) -> None:
    """IDL-7: What is served passes the lint rules."""
    image = await _image(identity, tmp_path)

    findings = _buf("lint", str(image), "--config", str(PROTOS / "buf.yaml"))

    expect(findings, equals="", what="findings of buf lint")


async def test_idl_7_the_served_schemas_break_no_release(
    identity: Identity, tmp_path: Path
) -> None:
    """IDL-7: What is served breaks nothing that was released."""
    image = await _image(identity, tmp_path)
    releases = sorted((PROTOS / "released").glob("*.binpb"))
    assert releases, "protos/released/ holds no image: the suite is incomplete"

    for release in releases:
        findings = _buf(
            "breaking",
            str(image),
            "--config",
            str(PROTOS / "buf.yaml"),
            "--against",
            str(_only(release, {SERVICE_FILE}, tmp_path)),
            # What is imported from google/ comes with an implementation's library, in its version.
            "--exclude-imports",
        )
        expect(findings, equals="", what=f"findings of buf breaking against {release.stem}")


def _with_unknown(request: Any, position: str) -> bytes:
    body: bytes = request.SerializeToString()
    match position:
        case "before":
            return UNKNOWN_FIELDS + body
        case "nested" if isinstance(request, pb.CreateDIDRequest):
            inner = request.encryption.SerializeToString() + UNKNOWN_FIELDS
            plain = pb.CreateDIDRequest(method=request.method, properties=request.properties)
            return plain.SerializeToString() + b"\x1a" + bytes([len(inner)]) + inner
        case _:
            return body + UNKNOWN_FIELDS


def _encrypted(algorithm: int) -> pb.CreateDIDRequest:
    request = pb.CreateDIDRequest(method="key")
    # Parsed, because the message class refuses to be given a number that it does not know.
    request.encryption.MergeFromString(b"\x08" + _varint(algorithm) + b"\x12\x01k")
    return request


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


async def _image(identity: Identity, directory: Path) -> Path:
    if BUF is None:
        not_run("there is no program buf, on PATH or beside the interpreter")
    schema = await reflection.read(identity.channel)
    image = directory / "served.binpb"
    image.write_bytes(schema.image(own="blackhole/"))
    attach("served.binpb", image.read_bytes())
    return image


def _only(release: Path, files: set[str], directory: Path) -> Path:
    """Cut a released image down to some files and what they import."""
    whole = FileDescriptorSet.FromString(release.read_bytes())
    named = {file.name: file for file in whole.file}
    kept: dict[str, FileDescriptorProto] = {}

    def keep(name: str) -> None:
        for dependency in named[name].dependency:
            keep(dependency)
        kept[name] = named[name]

    for name in files:
        keep(name)
    cut = directory / f"{release.stem}-cut.binpb"
    cut.write_bytes(FileDescriptorSet(file=kept.values()).SerializeToString())
    return cut


def _buf(*arguments: str) -> str:
    done = subprocess.run(
        [str(BUF), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=BUF_TIMEOUT,
        cwd=PROTOS,
    )
    return done.stdout + done.stderr
