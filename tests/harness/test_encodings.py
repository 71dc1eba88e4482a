"""Compressed messages by hand."""

import gzip
import zlib

import pytest

from blackhole.identity.v1 import identity_pb2 as pb
from conformance.harness import encodings
from conformance.harness.frames import framed
from conformance.harness.judging import NonConformance
from conformance.harness.raw import RawAnswer


def _answer(body: bytes, **headers: str) -> RawAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RawAnswer(headers=named, body=body)


@pytest.mark.parametrize(
    ("encoding", "decompress"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)]
)
def test_messages_are_what_other_libraries_read(encoding: str, decompress: object) -> None:
    assert callable(decompress)
    assert decompress(encodings.compressed(b"x" * 100, encoding)) == b"x" * 100


def test_each_message_is_read_as_its_own_flag_says() -> None:
    body = framed(b"plain") + encodings.compressed_frame(b"compressed")

    assert encodings.read(_answer(body, grpc_encoding="gzip")) == [b"plain", b"compressed"]


@pytest.mark.parametrize("headers", [{}, {"grpc_encoding": "br"}, {"grpc_encoding": "deflate"}])
def test_a_flag_that_the_encoding_contradicts_is_a_violation(headers: dict[str, str]) -> None:
    with pytest.raises(NonConformance, match="as the answer's grpc-encoding says"):
        encodings.read(_answer(encodings.compressed_frame(b"x"), **headers))


def test_what_a_service_accepts_is_a_list() -> None:
    answer = _answer(b"", grpc_accept_encoding="identity, gzip,deflate")

    assert encodings.accepted_by(answer) == {"identity", "gzip", "deflate"}
    assert encodings.accepted_by(_answer(b"")) == set()


def test_a_bomb_is_one_message_many_times() -> None:
    part = pb.CreateDIDRequest(method="key", properties={"zeros": "\0" * 1000})

    inflated = gzip.decompress(encodings.bomb(part, 1000))

    assert len(inflated) == 1000 * part.ByteSize()
    assert pb.CreateDIDRequest.FromString(inflated) == part
