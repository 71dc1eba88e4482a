"""Chapter 2: the local transport (SOCK-1 to SOCK-9, SOCK-11)."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from grpc_health.v1 import health_pb2

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.calls import parsed
from .harness.identity import HEALTH, SERVING, Identity
from .harness.judging import did, expect, not_run
from .harness.nodes import LONGEST_SOCKET, Node, identity_of_file, peer_credentials
from .harness.raw import RawConnection, framed

pytestmark = pytest.mark.transports("unix")

SETTINGS_FRAME = 4
"""Type of the frame that HTTP/2 begins with (RFC 9113, 6.5)."""

LIMIT = 50 * 1024 * 1024
"""Bytes of a message at most, by default (CONFORMANCE.md, SOCK-9)."""

SMALL_LIMIT = 65536
"""Bytes of a message at most on the service with a configured limit."""

NOBODY = 65534


async def test_sock_1_the_socket_speaks_grpc_over_http2(identity: Identity) -> None:
    """SOCK-1: NAME.sock is a Unix stream socket that speaks gRPC over HTTP/2."""
    kind = identity_of_file(identity.path)
    expect(kind and kind[0], equals="s", what=f"kind of file at {identity.path.name}")

    async with RawConnection(identity.address) as raw:
        stream = await raw.begin(f"/{HEALTH}/Check")
        await raw.send(stream, framed(health_pb2.HealthCheckRequest(service="identity")), end=True)
        answer = await raw.over(stream)
        did("made one Check by hand")

    expect(raw.first_frame, equals=SETTINGS_FRAME, what="type of the service's first frame")
    expect(answer.headers.get(":status"), equals="200", what="HTTP status")
    expect(
        answer.headers.get("content-type"), matches=r"application/grpc($|[+;])", what="content-type"
    )
    expect(answer.grpc_status, equals="0", what="grpc-status")
    expect(
        [parsed(m, health_pb2.HealthCheckResponse).status for m in answer.messages()],
        equals=[SERVING],
        what="messages of the answer",
    )


async def test_sock_2_the_socket_is_its_owners_alone(node: Node) -> None:
    """SOCK-2: Without a group, socket and directory are their owner's alone."""
    service = await node.start(umask=0o000)
    await service.lives()

    expect(_mode(service.path), equals=0o600, what="mode of identity.sock", show=oct)
    expect(_mode(node.socket_dir), equals=0o700, what="mode of socket_dir", show=oct)


async def test_sock_2_the_socket_is_the_configured_groups_too(node: Node) -> None:
    """SOCK-2: With a group, socket and directory are that group's too."""
    group = os.getgid()
    service = await node.start({"socket_group": str(group)}, umask=0o000)
    await service.lives()

    expect(_mode(service.path), equals=0o660, what="mode of identity.sock", show=oct)
    expect(_mode(node.socket_dir), equals=0o750, what="mode of socket_dir", show=oct)
    expect(
        (service.path.stat().st_gid, node.socket_dir.stat().st_gid),
        equals=(group, group),
        what="group of identity.sock and socket_dir",
    )


async def test_sock_3_another_user_cannot_connect(node: Node) -> None:
    """SOCK-3: Another user cannot call the service through the socket."""
    if os.geteuid() != 0:
        not_run("only root can become another user")
    service = await node.start()
    node.directory.chmod(0o755)
    open_socket = node.directory / "open.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(open_socket))
        open_socket.chmod(0o666)
        listener.listen()
        expect(
            _connect_as_nobody(open_socket), equals="connected", what="nobody, on an open socket"
        )

    closed = _connect_as_nobody(service.path)
    node.socket_dir.chmod(0o755)
    did("opened socket_dir to all")
    opened = _connect_as_nobody(service.path)

    expect(closed, equals="EACCES", what="nobody connects to identity.sock")
    expect(opened, equals="EACCES", what="nobody connects to identity.sock in an open directory")
    await service.lives()


async def test_sock_4_no_port_is_open(node: Node) -> None:
    """SOCK-4: Without TCP in the configuration the process listens on no port."""
    service = await node.start()
    await service.lives()

    ports = [
        f"{connection.type.name} {connection.laddr.ip}:{connection.laddr.port}"
        for process in service.process.family()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
        or (connection.type == socket.SOCK_DGRAM and connection.laddr)
    ]

    expect(peer_credentials(service.path)[0] > 0, equals=True, what="the Unix socket is served")
    expect(ports, equals=[], what="TCP ports that listen and UDP ports that are bound")


async def test_sock_5_a_stale_socket_is_replaced(node: Node) -> None:
    """SOCK-5: A socket file without a listener is replaced at start-up."""
    node.socket_dir.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(node.socket()))
    did("left a socket file that nobody listens on")

    first = await node.start()
    await first.lives()
    await first.kill()
    second = await node.start()

    await second.lives()


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
async def test_sock_6_a_live_socket_is_never_taken_over(node: Node, *, frozen: bool) -> None:
    """SOCK-6: A second instance refuses to start, and the first serves on."""
    first = await node.start()
    created = await first.create()
    before = identity_of_file(first.path), peer_credentials(first.path)
    if frozen:
        first.process.signal(signal.SIGSTOP)

    ended = await node.refuses({"data_dir": str(node.directory / "other")})

    if frozen:
        first.process.signal(signal.SIGCONT)
    expect(ended.says(str(first.path)), equals=True, what="a line of standard error holds the path")
    expect(
        (identity_of_file(first.path), peer_credentials(first.path)),
        equals=before,
        what="the socket, and the process behind it",
    )
    reached = await first.call_on(
        first.connect(), "ResolveDID", pb.ResolveDIDRequest(did=created.did)
    )
    expect(reached.code, equals="OK", what="a new connection reaches the first instance")


async def test_sock_7_the_longest_path_works_and_one_byte_more_is_refused(node: Node) -> None:
    """SOCK-7: A path of 107 bytes is served, and one of 108 refused by name."""
    longest = _socket_dir(node.directory, LONGEST_SOCKET)
    too_long = _socket_dir(node.directory, LONGEST_SOCKET + 1)

    service = await node.start({"socket_dir": str(longest)})
    await service.lives()
    did("the control serves at a path of 107 bytes")
    ended = await node.refuses({"socket_dir": str(too_long)})

    expect(
        ended.says(str(too_long), "socket_dir", "socketDir"),
        equals=True,
        what="a line of standard error holds the path or socket_dir",
    )
    expect(
        [file.name for file in too_long.glob("*")],
        equals=[],
        what="files in the refused socket_dir",
    )


async def test_sock_7_a_directory_that_cannot_be_made_is_refused(control: Node) -> None:
    """SOCK-7: A socket_dir that cannot be made is refused by name."""
    file = control.directory / "file"
    file.write_text("in the way")

    ended = await control.refuses({"socket_dir": str(file / "s")})

    expect(
        ended.says(str(file), "socket_dir", "socketDir"),
        equals=True,
        what="a line of standard error holds the path or socket_dir",
    )
    expect(file.read_text(), equals="in the way", what="the file in the way")


@pytest.mark.parametrize("kind", ["file", "directory", "link", "fifo"])
async def test_sock_8_what_is_no_socket_is_never_deleted(node: Node, kind: str) -> None:
    """SOCK-8: A file that is no socket is refused by name, and left as it was."""
    node.socket_dir.mkdir(mode=0o700)
    path = node.socket()
    _put_in_the_way(path, kind)
    before = identity_of_file(path)

    ended = await node.refuses()

    expect(ended.says(str(path)), equals=True, what="a line of standard error holds the path")
    expect(identity_of_file(path), equals=before, what=f"the {kind} in the way")
    if kind in ("file", "link"):
        expect(path.read_text(), equals="somebody's data", what="its content")
    path.rmdir() if kind == "directory" else path.unlink()
    await (await node.start()).lives()


async def test_sock_9_requests_pass_up_to_50_mib(identity: Identity) -> None:
    """SOCK-9: By default a request of 50 MiB passes, and one byte more does not."""
    channel = identity.connect()
    largest = _request_of(LIMIT)

    within = await identity.call_on(channel, "CreateDID", largest)
    beyond = await identity.call_on(channel, "CreateDID", _request_of(LIMIT + 1))
    after = await identity.call_on(channel, "CreateDID", pb.CreateDIDRequest(method="key"))

    expect((within.code, within.message), equals=("OK", ""), what="a request of 52,428,800 bytes")
    expect(beyond.code, equals="RESOURCE_EXHAUSTED", what="a request of 52,428,801 bytes")
    expect(after.code, equals="OK", what="the next call on the same connection")


async def test_sock_9_answers_pass_up_to_the_limit(node: Node) -> None:
    """SOCK-9: An answer at the configured limit passes, and one byte more does not."""
    service = await node.start({"limits": {"max_message_bytes": SMALL_LIMIT}})
    created = await service.create()
    request = pb.ResolveDIDRequest(did=created.did)

    await _make_answer(service, created, SMALL_LIMIT)
    within = await service.call("ResolveDID", request)
    await _make_answer(service, created, SMALL_LIMIT + 1)
    beyond = await service.call("ResolveDID", request)
    connections = _connections(service)
    after = await service.call("ResolveDID", pb.ResolveDIDRequest(did=(await service.create()).did))

    expect(
        (within.code, within.response and within.response.ByteSize()),
        equals=("OK", SMALL_LIMIT),
        what="an answer at the limit",
    )
    expect(beyond.code, equals="RESOURCE_EXHAUSTED", what="an answer of one byte more")
    expect(after.code, equals="OK", what="the next call on the same connection")
    expect(_connections(service), equals=connections, what="connections of the suite")


async def test_sock_11_the_kernel_names_the_services_process(node: Node) -> None:
    """SOCK-11: SO_PEERCRED names the process that serves, before and after a restart."""
    first = await node.start()
    await first.lives()
    named = peer_credentials(first.path)
    expect(named[0] in [p.pid for p in first.process.family()], equals=True, what="its PID")
    await first.stop()

    second = await node.start()
    await second.lives()
    renamed = peer_credentials(second.path)

    expect(
        renamed[0] in [p.pid for p in second.process.family()],
        equals=True,
        what="the PID after a restart is the new process'",
    )
    expect((named[1], renamed[1]), equals=(os.geteuid(),) * 2, what="the user behind the socket")


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def _connect_as_nobody(path: Path) -> str:
    """Connect in a process that became nobody after it was loaded; return what came of it."""
    script = (
        "import os, socket, sys, errno\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "try:\n"
        "    socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('connected')\n"
        "except OSError as error:\n"
        "    print(errno.errorcode[error.errno])\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()


def _socket_dir(parent: Path, length: int) -> Path:
    """Return a directory below parent in which identity.sock has a path of that many bytes."""
    missing = length - len(str(parent / "identity.sock").encode()) - 1
    return parent / ("x" * missing)


def _put_in_the_way(path: Path, kind: str) -> None:
    match kind:
        case "file":
            path.write_text("somebody's data")
        case "directory":
            path.mkdir()
        case "link":
            target = path.with_name("target")
            target.write_text("somebody's data")
            path.symlink_to(target)
        case "fifo":
            os.mkfifo(path)
    did(f"put a {kind} at {path.name}")


def _request_of(size: int) -> pb.CreateDIDRequest:
    """Return a request that is serialized in exactly so many bytes."""
    request = pb.CreateDIDRequest(method="key", properties={"padding": "x" * size})
    excess = request.ByteSize() - size
    request.properties["padding"] = "x" * (size - excess)
    assert request.ByteSize() == size
    return request


async def _make_answer(service: Identity, created: pb.CreateDIDResponse, size: int) -> None:
    """Update a DID until ResolveDID's answer has exactly so many bytes.

    The length of `updated_at` on the wire varies with the time itself, so that the first
    guess may be off by a byte or two.
    """
    padding = size - 256
    for _ in range(20):
        properties = {"padding": "x" * padding}
        updated = await service.update(created.did, properties)
        expected = pb.ResolveDIDResponse(
            document=pb.DIDDocument(
                did=created.did,
                properties=properties,
                created_at=created.created_at,
                updated_at=updated.updated_at,
            )
        )
        if (missing := size - expected.ByteSize()) == 0:
            return
        padding += missing
    raise AssertionError(f"no update made an answer of {size} bytes")


def _connections(service: Identity) -> int:
    return sum(
        str(connection.laddr) == str(service.path)
        for process in service.process.family()
        for connection in process.net_connections("unix")
    )
