"""Domain errors and the statuses that they become."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from reference.mesh import errors
from reference.mesh.errors import CODES, DETAILS, InvalidArgumentError, Violation, to_status


def test_every_domain_error_has_a_code() -> None:
    kinds = {
        one
        for one in vars(errors).values()
        if isinstance(one, type)
        and issubclass(one, errors.DomainError)
        and one is not errors.DomainError
    }

    assert set(CODES) == kinds


@pytest.mark.parametrize("kind", [k for k in CODES if k is not InvalidArgumentError])
def test_the_message_of_a_domain_error_is_told(kind: type[errors.DomainError]) -> None:
    status = to_status(kind("told"))

    assert (status.code, status.message, status.trailers) == (CODES[kind], "told", ())


@pytest.mark.parametrize("error", [ValueError("/etc/passwd"), OSError(5, "I/O", "/x")])
def test_everything_else_is_an_internal_error(error: Exception) -> None:
    status = to_status(error)

    assert (status.code, status.message) == (grpc.StatusCode.INTERNAL, "internal error")
    assert status.trailers == ()


def test_violations_travel_as_bad_request() -> None:
    error = InvalidArgumentError(Violation("a", "is bad"), Violation("b", "worse").below("c[1]"))

    status = to_status(error)

    ((name, raw),) = status.trailers
    rich = status_pb2.Status.FromString(raw)
    bad = error_details_pb2.BadRequest()
    assert rich.details[0].Unpack(bad)
    assert name == DETAILS
    assert (rich.code, rich.message) == (3, status.message)
    assert status.message == "invalid request: a: is bad; c[1].b: worse"
    assert [(v.field, v.description) for v in bad.field_violations] == [
        ("a", "is bad"),
        ("c[1].b", "worse"),
    ]
