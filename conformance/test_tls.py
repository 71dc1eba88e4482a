"""Chapter 3: the remote transport, as a service offers it (TLS-1 to TLS-5, TLS-8, TLS-12)."""

import asyncio
import socket
import ssl
import time
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2

from blackhole.identity.v1 import identity_pb2 as pb

from .harness import reflection
from .harness.addresses import HOST, TLSAddress, UnixAddress
from .harness.bounds import PROMPT
from .harness.calls import Answer, Channel
from .harness.descriptors import open_files
from .harness.handshakes import ALERT, can_offer, client_hello, shake, told
from .harness.history import expect_elapsed
from .harness.identity import HEALTH, SERVICE, SERVING, Identity
from .harness.judging import did, expect, not_run
from .harness.nodes import Node
from .harness.pki import (
    EXPIRED,
    NOT_YET_VALID,
    SERVER_ONLY,
    Authority,
    Certificate,
    self_signed,
)
from .harness.raw import RawConnection, framed
from .harness.remote import suite_pki

pytestmark = pytest.mark.transports("tcp")

CREATE = f"/{SERVICE}/CreateDID"

CLOSED = 15.0
"""Seconds after which a connection that speaks no TLS is closed (CONFORMANCE.md, TLS-4)."""

SILENT = 500
"""Connections that say nothing, and as many that say half of what they should (TLS-12)."""

HANDSHAKE = 0.5
"""Seconds that the suite configures as `tls.handshake_timeout`."""

LATE = 1.0
"""Seconds beyond it until a connection is closed (CONFORMANCE.md, TLS-12)."""

ROOM = 2048
"""Open files that holding all of them takes, and some more."""

SERVED_WITHIN = 2.0
"""Seconds that a call may take meanwhile (CONFORMANCE.md, TLS-12)."""


def _port(service: Identity) -> int:
    address = service.address
    assert isinstance(address, TLSAddress)
    return address.port


async def test_tls_1_the_port_speaks_tls_and_h2(node: Node) -> None:
    """TLS-1: A service with a port answers there by TLS and h2, and at its socket."""
    service = await node.start()
    assert node.remote is not None

    seen = await shake(_port(service), suite_pki().client, alpn=("h2", "http/1.1"))
    async with RawConnection(service.address) as raw:
        body = framed(health_pb2.HealthCheckRequest(service="identity"))
        checked = await raw.call(f"/{HEALTH}/Check", body)
    created = await service.create()
    local = service.connect(address=UnixAddress(service.path))
    resolved = await service.call_on(local, "ResolveDID", pb.ResolveDIDRequest(did=created.did))

    own = node.remote.server.own
    expect(seen.version, one_of=["TLSv1.2", "TLSv1.3"], what="version of TLS")
    expect((seen.alpn, seen.serial), equals=("h2", own and own.serial), what="ALPN and certificate")
    expect(
        [health_pb2.HealthCheckResponse.FromString(one).status for one in checked.messages()],
        equals=[SERVING],
        what="Check by hand",
    )
    expect(resolved.code, equals="OK", what="the DID, at the Unix socket")
    expect(_listening(service), equals=[(HOST, _port(service))], what="TCP sockets that listen")


async def test_tls_1_the_port_alone_serves_too(node: Node) -> None:
    """TLS-1: A service without a Unix socket serves at its port, and leaves nothing else."""
    service = await node.start({"services": {"identity": {"disable_unix_socket": True}}})

    await service.lives()

    expect(node.leftovers(), equals=[], what="files in socket_dir")


async def test_tls_2_without_a_certificate_no_call_gets_through(identity: Identity) -> None:
    """TLS-2: A caller without a certificate is refused before anything it says is heard."""
    nobody = TLSAddress(_port(identity), suite_pki().showing(None))
    control = await identity.create()
    expect(bool(control.did), equals=True, what="CreateDID with a certificate gives a DID")

    async with identity.unchanged():
        refused = await identity.call_on(identity.connect(address=nobody), "CreateDID", _create())
        frame = await _first_frame_to(nobody)

        expect(refused.code, equals="UNAVAILABLE", what="CreateDID without a certificate")
        expect(frame, equals=None, what="type of the first frame that comes without a certificate")


async def test_tls_3_a_wrong_certificate_is_refused(identity: Identity) -> None:
    """TLS-3: A caller's certificate that is wrong in one thing is refused."""
    await identity.lives()

    async with identity.unchanged():
        answers = {
            case: await identity.call_on(
                identity.connect(
                    address=TLSAddress(_port(identity), suite_pki().showing(certificate))
                ),
                "CreateDID",
                _create(),
            )
            for case, certificate in _wrong_certificates().items()
        }

        expect(
            {case: answer.code for case, answer in answers.items()},
            equals=dict.fromkeys(answers, "UNAVAILABLE"),
            what="CreateDID, by what is wrong with the caller's certificate",
        )


def _wrong_certificates() -> dict[str, Certificate]:
    authority = suite_pki().authority
    return {
        "of another authority of the same name": Authority().issue("suite caller"),
        "self-signed": self_signed("suite caller"),
        "expired": authority.issue("suite caller", valid=EXPIRED),
        "not yet valid": authority.issue("suite caller", valid=NOT_YET_VALID),
        "for servers only": authority.issue("suite caller", usage=SERVER_ONLY),
    }


async def test_tls_4_plaintext_is_hung_up_on(identity: Identity) -> None:
    """TLS-4: Plaintext gets a closed connection, and nothing but a TLS alert before."""
    plaintexts = {
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "noise": bytes(range(200, 256)) + bytes(8),
    }
    control = await identity.check()
    expect(control.code, equals="OK", what="Check by TLS")

    answers = dict(
        zip(
            plaintexts,
            await asyncio.gather(
                *(told(_port(identity), data, CLOSED) for data in plaintexts.values())
            ),
            strict=True,
        )
    )

    expect(
        {case: _but_for_an_alert(answer) for case, answer in answers.items()},
        equals=dict.fromkeys(plaintexts, b""),
        what="what comes before the connection is closed, but for a TLS alert",
    )


async def test_tls_5_old_versions_are_refused(identity: Identity) -> None:
    """TLS-5: TLS 1.1 and 1.0 are refused, whatever the caller would put up with."""
    old = {"TLS 1.1": ssl.TLSVersion.TLSv1_1, "TLS 1.0": ssl.TLSVersion.TLSv1}
    if not all(can_offer(version, suite_pki()) for version in old.values()):
        not_run("this host's OpenSSL does not speak TLS 1.1 and 1.0 any more")
    port, own = _port(identity), suite_pki().client
    control = await shake(port, own, at_most=ssl.TLSVersion.TLSv1_2)
    expect(control.version, equals="TLSv1.2", what="a handshake that offers TLS 1.2 at most")

    seen = {name: await shake(port, own, at_most=version) for name, version in old.items()}

    expect(
        {name: one.version for name, one in seen.items()},
        equals=dict.fromkeys(old, ""),
        what="version that was agreed on, by the latest that was offered",
    )


async def test_tls_8_both_transports_offer_the_same(identity: Identity) -> None:
    """TLS-8: Methods, schemas and answers are the same over both transports."""
    ways = {
        "socket": identity.connect(address=UnixAddress(identity.path)),
        "port": identity.channel,
    }
    subscribers = {way: await identity.events(channel=channel) for way, channel in ways.items()}

    schemas = {way: _schema(await reflection.read(channel)) for way, channel in ways.items()}
    answers = {way: await _everything(identity, channel) for way, channel in ways.items()}
    expect(schemas["port"], equals=schemas["socket"], what="schemas, at the port as at the socket")
    expect(
        {
            what: (answers["socket"][what], answer)
            for what, answer in answers["port"].items()
            if answer != answers["socket"][what]
        },
        equals={},
        what="answers that differ: (at the socket, at the port)",
    )
    events = {
        way: [(event.WhichOneof("payload"), event.did) for event in await stream.take(10)]
        for way, stream in subscribers.items()
    }
    for stream in subscribers.values():
        stream.cancel()
    expect(events["port"], equals=events["socket"], what="events, at the port as at the socket")


async def test_tls_12_the_silent_keep_nobody_out(identity: Identity) -> None:
    """TLS-12: Connections that say nothing, or half of what they should, keep nobody out."""
    if (room := open_files()) < ROOM:
        not_run(
            f"holding {2 * SILENT} connections takes {ROOM} open files, this host allows {room}"
        )
    port, hello = _port(identity), client_hello(suite_pki().client)
    await identity.lives()

    with ExitStack() as held:
        for said in (b"", hello[: len(hello) // 2]):
            for _ in range(SILENT):
                silent = held.enter_context(socket.create_connection((HOST, port), PROMPT))
                silent.sendall(said)
        did(f"holds {SILENT} connections that are silent, and {SILENT} with half a ClientHello")
        answers = [
            await identity.call_on(
                identity.connect(address=address), "CreateDID", _create(), timeout=SERVED_WITHIN
            )
            for address in (*[identity.address] * 10, UnixAddress(identity.path))
        ]

    expect(
        [answer.code for answer in answers],
        equals=["OK"] * 11,
        what="ten callers at the port meanwhile, and one at the socket",
    )


async def test_tls_12_the_silent_are_sent_away(node: Node) -> None:
    """TLS-12: A connection that says nothing, or half of what it should, is closed in the end."""
    service = await node.start({"tls": {"handshake_timeout": f"{HANDSHAKE}s"}})
    hello = client_hello(suite_pki().client)

    await asyncio.gather(
        *(_is_sent_away(_port(service), said) for said in (b"", hello[: len(hello) // 2]))
    )

    await service.lives()


def _create() -> pb.CreateDIDRequest:
    return pb.CreateDIDRequest(method="key")


def _listening(service: Identity) -> list[tuple[str, int]]:
    return [
        # An IPv6 socket may listen at an IPv4 address.
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for member in service.process.family()
        for connection in member.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]


async def _first_frame_to(address: TLSAddress) -> int | None:
    """Send a CreateDID as soon as the handshake seems over; return the type of what comes."""
    try:
        async with RawConnection(address) as raw:
            stream = await raw.begin(CREATE)
            await raw.send(stream, framed(_create()), end=True)
            await raw.seen(
                lambda: raw.closed or raw.first_frame is not None,
                bound=CLOSED,
                what="the service hangs up",
            )
            return raw.first_frame
    except OSError:
        # TLS 1.2 refuses within the handshake.
        return None


async def _is_sent_away(port: int, said: bytes) -> None:
    """Say something that is no handshake; the connection is closed in time, and not too early."""
    begin = time.monotonic()
    answer = await told(port, said, HANDSHAKE + LATE)
    expect_elapsed(
        time.monotonic() - begin,
        since=begin,
        at_least=HANDSHAKE,
        what=f"seconds until a connection that sent {len(said)} B is closed",
    )
    expect(
        _but_for_an_alert(answer),
        equals=b"",
        what="what comes before the connection is closed, but for a TLS alert",
    )


def _but_for_an_alert(answer: bytes) -> bytes:
    """Return what came besides one TLS alert: type, version, length, and so many bytes."""
    if len(answer) < 5 or answer[0] != ALERT:
        return answer
    return answer[5 + int.from_bytes(answer[3:5], "big") :]


def _schema(schema: reflection.Schema) -> dict[str, FileDescriptorProto | None]:
    return {name: schema.files.get(name) for name in (*sorted(schema.services), *schema.files)}


async def _everything(service: Identity, channel: Channel) -> dict[str, Any]:
    """Use every method over a channel; return what does not differ from one use to the next."""
    request = pb.CreateDIDRequest(method="key", properties={"name": "Ada"})
    created = await service.call_on(channel, "CreateDID", request)
    name = created.response.did if created.response else ""
    batch = pb.BatchCreateDIDsRequest(requests=[request, request])
    calls = {
        "CreateDID": created,
        "BatchCreateDIDs": await service.call_on(channel, "BatchCreateDIDs", batch),
        "UpdateDID": await service.call_on(channel, "UpdateDID", pb.UpdateDIDRequest(did=name)),
        "ResolveDID": await service.call_on(channel, "ResolveDID", pb.ResolveDIDRequest(did=name)),
        "DeleteDID": await service.call_on(channel, "DeleteDID", pb.DeleteDIDRequest(did=name)),
        "DeleteDID again": await service.call_on(
            channel, "DeleteDID", pb.DeleteDIDRequest(did="did:key:none")
        ),
        "a wrong request": await service.call_on(channel, "CreateDID", pb.CreateDIDRequest()),
        "Check": await service.check(channel=channel),
        "Check of another": await service.check("storage", channel),
        "IdentityService.Check": await service.call_on(channel, "Check", pb.HealthCheckRequest()),
        "no such method": await channel.unary(f"/{SERVICE}/NoSuchMethod", b"", None),
    }
    return {what: _lasting(answer) for what, answer in calls.items()}


def _lasting(answer: Answer) -> tuple[Any, ...]:
    """Return code, message, details, names of trailing metadata, and which fields are set."""
    response = answer.response
    fields = [field.name for field, _ in response.ListFields()] if response is not None else None
    trailing = tuple(sorted(name for name, _ in answer.trailing))
    return answer.code, answer.message, answer.violations, trailing, fields
