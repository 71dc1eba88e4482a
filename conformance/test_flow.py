"""Chapter 11: the calls that services make for an upload (FLOW-1, FLOW-4)."""

import asyncio
import math

from blackhole.identity.v1 import identity_pb2
from blackhole.storage.v1 import storage_pb2 as pb

from .harness.arrivals import Arrival
from .harness.bounds import until
from .harness.calls import parsed
from .harness.company import Company
from .harness.history import ROUNDING
from .harness.identity import Identity
from .harness.judging import did, expect
from .harness.ledger import Ledger
from .harness.nodes import Node
from .harness.peer import Peer
from .harness.raw import RawConnection
from .harness.replies import hangs, raw_message
from .harness.security import request_id
from .harness.storage import Storage, Upload
from .harness.tree import files_below

CANCELLED = 1.0
"""Seconds after the end of the outer call in which the inner one must end (CONFORMANCE.md)."""

WIRE = 0.01
"""Part by which `grpc-timeout` may be more than what is left: gRPC C-core rounds it up to three
digits."""

PATIENT = {
    # Longer than the deadlines of the test, so that these alone decide.
    "circuit": {"timeout": "30s"},
    "default_timeout": "30s",
    "retry": {"max_attempts": 1},
}


async def test_flow_1_an_upload_has_an_owner_and_a_record(node: Node) -> None:
    """FLOW-1: An upload checks its owner with identity, and records itself in the ledger."""
    company = Company(node, "identity", "ledger")
    names = ("identity", "ledger", "storage")
    identity, ledger, storage = await asyncio.gather(
        node.serve(Identity, company.settings, beside=names),
        node.serve(Ledger, company.settings, beside=names),
        node.serve(Storage, company.settings, beside=names),
    )
    owner, deleted = (await identity.create()).did, (await identity.create()).did
    await identity.delete(deleted)

    as_owner = storage.connect(metadata=company.caller(owner))
    answer = await storage.uploaded("first", b"the ", b"file", channel=as_owner)
    info = await storage.info("first")
    expect((answer.owner, info.owner), equals=(owner, owner), what="owner of the file")
    expect(answer.HasField("ledger_index"), equals=True, what="whether ledger_index is set")
    await _expect_last(ledger, answer.ledger_index, info)

    files = set(files_below(node.data_dir / "storage"))
    strangers = {"unknown": f"did:key:{'0' * 32}", "no-did": "ada", "deleted": deleted}
    async with RawConnection(storage.address) as raw:
        found = {
            name: await _uploaded(storage, raw, company.caller(subject), name)
            for name, subject in strangers.items()
        }
        expect(
            found,
            equals=dict.fromkeys(strangers, ("PERMISSION_DENIED", "NOT_FOUND")),
            what="(UploadFile, StatFile) of strangers",
        )
        for subject in strangers.values():
            silent = await (await Upload.begin(raw, company.caller(subject))).over()
            expect(silent.code, equals="PERMISSION_DENIED", what="an upload before its first chunk")

    expect(set(files_below(node.data_dir / "storage")), equals=files, what="what storage keeps")
    await _expect_last(ledger, answer.ledger_index, info)
    again = await storage.uploaded("second", b"another", channel=as_owner)
    expect(again.ledger_index, equals=answer.ledger_index + 1, what="index of the next entry")


async def test_flow_4_what_nobody_waits_for_is_cancelled(node: Node) -> None:
    """FLOW-4: Cancelling an upload, or its deadline, cancels the call to identity within 1 s."""
    company, owner = Company(node, "identity"), "did:key:suite"
    known = raw_message(
        identity_pb2.ResolveDIDResponse(
            document=identity_pb2.DIDDocument(did=owner)
        ).SerializeToString()
    )
    peer = await node.peer("identity")
    peer.otherwise = known
    storage = await node.serve(Storage, company.settings | PATIENT)
    as_owner = storage.connect(metadata=company.caller(owner))
    await storage.uploaded("control", b"x", channel=as_owner)
    expect(
        [one.payloads for one in peer.arrivals], equals=[(owner.encode(),)], what="DIDs asked for"
    )

    peer.otherwise = hangs()
    async with RawConnection(storage.address) as raw:
        upload, inner = await _began(raw, peer, company.caller(owner), deadline=5.0)
        await upload.cancel()
        await _expect_cancelled(inner, "cancelled", CANCELLED)
        _, inner = await _began(raw, peer, company.caller(owner), deadline=0.5)
        await _expect_cancelled(inner, "over", 0.5 + CANCELLED)

    peer.otherwise = known
    await storage.uploaded("again", b"x", channel=as_owner)


async def _uploaded(
    storage: Storage, raw: RawConnection, caller: list[tuple[str, str]], file_id: str
) -> tuple[str, str]:
    """Upload a file as somebody; return how that ended, and how StatFile does."""
    upload = await Upload.begin(raw, caller)
    await upload.send(b"not theirs", file_id)
    answer = await upload.finish()
    return answer.code, (await storage.stat(file_id)).code


async def _expect_last(ledger: Ledger, index: int, info: pb.FileInfo) -> None:
    """Make sure that the ledger's last entry records a file."""
    entry = await ledger.entry(index)
    expect(
        (entry.kind, parsed(entry.payload, pb.FileInfo)),
        equals=("storage.file.uploaded", info),
        what=f"(kind, payload) of entry {index}",
    )
    expect((await ledger.get(index + 1)).code, equals="NOT_FOUND", what=f"entry {index + 1}")


async def _began(
    raw: RawConnection, peer: Peer, caller: list[tuple[str, str]], *, deadline: float
) -> tuple[Upload, Arrival]:
    """Begin an upload with a deadline; return it, and the inner call that arrived for it."""
    count, (name, value) = len(peer.arrivals), request_id()
    timeout = ("grpc-timeout", f"{deadline * 1000:.0f}m")
    upload = await Upload.begin(raw, [timeout, *caller, (name, value)])
    await upload.send(b"x", "never")
    inner = (await peer.arrived(count + 1))[count]
    did(f"began an upload with a deadline of {deadline:g} s, and {inner} arrived")
    expect(inner.header(name), equals=value, what="request ID of the inner call")
    expect(
        math.inf if inner.timeout is None else inner.timeout,
        at_most=deadline * (1 + WIRE) + ROUNDING,
        what="seconds of grpc-timeout (inf: none) of the inner call",
    )
    return upload, inner


async def _expect_cancelled(inner: Arrival, how: str, bound: float) -> None:
    await until(
        lambda: inner.cancelled is not None,
        bound=bound,
        what=f"the inner call is cancelled once the outer one is {how}",
        seen=lambda: inner,
    )
