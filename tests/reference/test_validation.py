"""Input rules of the identity service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackhole.identity.v1 import identity_pb2 as pb
from reference.mesh.errors import InvalidArgumentError
from reference.services.identity import validation
from reference.services.identity.servicer import new_did


def _fields(error: pytest.ExceptionInfo[InvalidArgumentError]) -> list[str]:
    return [violation.field for violation in error.value.violations]


@given(st.from_regex(r"\A[a-z0-9]{1,64}\Z"))
def test_every_method_of_the_grammar_makes_a_did_of_the_grammar(method: str) -> None:
    validation.check_create(pb.CreateDIDRequest(method=method))
    validation.check_did(new_did(method))


@pytest.mark.parametrize("method", ["", "A", "a\n", "a b", "é", "x" * 65, "٣"])
def test_other_methods_are_refused(method: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        validation.check_create(pb.CreateDIDRequest(method=method))
    assert _fields(error) == ["method"]


def test_every_field_that_is_wrong_is_named() -> None:
    request = pb.CreateDIDRequest(encryption=pb.EncryptionConfig())

    with pytest.raises(InvalidArgumentError) as error:
        validation.check_batch(
            pb.BatchCreateDIDsRequest(requests=[pb.CreateDIDRequest(method="a"), request]), 2
        )
    assert _fields(error) == ["requests[1].method", "requests[1].encryption.algorithm"]


def test_a_batch_has_a_maximum() -> None:
    request = pb.BatchCreateDIDsRequest(requests=[pb.CreateDIDRequest()] * 3)

    with pytest.raises(InvalidArgumentError) as error:
        validation.check_batch(request, 2)
    assert _fields(error) == ["requests"]


@pytest.mark.parametrize(
    "did",
    ["", "did", "did:a", "did:a:", "did:A:b", "did:a:b:", "did:a:%0", "did:a:b\n", "x" * 3000],
)
def test_what_is_no_did_is_refused(did: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        validation.check_did(did)
    assert _fields(error) == ["did"]


@pytest.mark.parametrize("did", ["did:a:b", "did:a::b", "did:web:x.y:%2F:z", "did:0:_-."])
def test_what_is_a_did_passes(did: str) -> None:
    validation.check_did(did)


def test_event_types_that_do_not_exist_are_named_by_position() -> None:
    validation.check_types(pb.StreamDIDEventsRequest(types=pb.EventType.values()[1:]))

    with pytest.raises(InvalidArgumentError) as error:
        validation.check_types(pb.StreamDIDEventsRequest(types=(1, 0, 99)))  # type: ignore[arg-type]
    assert _fields(error) == ["types[1]", "types[2]"]
