"""Calls by hand: as much as flow control allows, and answers as whole values."""

from google.rpc import error_details_pb2

from blackhole.conformance.v1 import probe_pb2 as pb
from blackhole.identity.v1 import identity_pb2
from conformance.harness.addresses import UnixAddress
from conformance.harness.answers import Answer, Violation, answer_by_hand
from conformance.harness.frames import framed
from conformance.harness.peer import Peer
from conformance.harness.raw import RawConnection
from conformance.harness.replies import fails, hangs, raw_message

from .probing import UNARY

LARGE = b"x" * (1 << 20)
"""More than the first window of a connection, and than a frame."""

RESOLVE = "/blackhole.identity.v1.IdentityService/ResolveDID"


async def test_what_exceeds_the_first_window_waits_for_room(peer: Peer) -> None:
    async with RawConnection(UnixAddress(peer.path)) as raw:
        answer = await raw.call(UNARY, framed(pb.UnaryRequest(payload=LARGE)))

    assert answer.grpc_status == "0"
    assert peer.arrivals[0].payloads == (LARGE,)
    assert [pb.UnaryResponse.FromString(one).payload for one in answer.messages()] == [LARGE]


async def test_nothing_is_sent_on_a_call_that_is_over(peer: Peer) -> None:
    async with RawConnection(UnixAddress(peer.path)) as raw:
        stream = await raw.begin(UNARY)
        await raw.send(stream, framed(pb.UnaryRequest()), end=True)
        await raw.over(stream)
        await raw.send(stream, LARGE, end=True)
        await raw.cancel(await raw.begin(UNARY))
        again = await raw.call(UNARY, framed(pb.UnaryRequest()))

    assert again.grpc_status == "0"


async def test_an_answer_by_hand_is_a_whole_value(peer: Peer) -> None:
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="a", description="is wrong")
    peer.answers(fails("INVALID_ARGUMENT", "schön: 100%", [bad]))
    async with RawConnection(UnixAddress(peer.path)) as raw:
        refused = await raw.call(UNARY, framed(pb.UnaryRequest()))
        taken = await raw.call(UNARY, framed(pb.UnaryRequest(payload=b"a")))

    told = answer_by_hand(refused.headers | refused.trailers, None, pb.UnaryResponse)
    assert (told.code, told.message) == ("INVALID_ARGUMENT", "schön: 100%")
    assert told.violations == (Violation("a", "is wrong"),)
    answer = answer_by_hand({"grpc-status": "0"}, taken.messages()[0], pb.UnaryResponse)
    assert answer == Answer(
        "OK", response=pb.UnaryResponse(payload=b"a"), trailing=(("grpc-status", "0"),)
    )


async def test_a_call_of_identity_is_an_arrival(peer: Peer) -> None:
    response = identity_pb2.ResolveDIDResponse(document=identity_pb2.DIDDocument(did="did:a:b"))
    peer.answers(raw_message(response.SerializeToString()), hangs())
    request = framed(identity_pb2.ResolveDIDRequest(did="did:a:b"))
    async with RawConnection(UnixAddress(peer.path)) as raw:
        answer = await raw.call(RESOLVE, request)
        stream = await raw.begin(RESOLVE)
        await raw.send(stream, request, end=True)
        await peer.arrived(2)
        assert not raw.answer(stream).over

    assert answer.messages() == [response.SerializeToString()]
    assert [(one.method, one.payloads) for one in peer.arrivals] == [
        ("ResolveDID", (b"did:a:b",))
    ] * 2
    assert (len(peer.connections), peer.checks) == (1, [])
