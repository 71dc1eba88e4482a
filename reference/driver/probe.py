"""The methods of Probe as the mesh client calls them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from blackhole.conformance.v1 import driver_pb2, probe_pb2

from ..mesh.dialling import Method
from ..mesh.errors import InvalidArgumentError, Violation
from ..mesh.methods import method_of

_SERVICE = probe_pb2.DESCRIPTOR.services_by_name["Probe"]

_method = partial(method_of, _SERVICE)

BATCH = _method("Batch")

_KINDS: dict[Any, tuple[Method, Any]] = {
    driver_pb2.PROBE_METHOD_UNARY: (_method("Unary"), probe_pb2.UnaryRequest),
    driver_pb2.PROBE_METHOD_SERVER_STREAM: (
        _method("ServerStream"),
        probe_pb2.ServerStreamRequest,
    ),
    driver_pb2.PROBE_METHOD_CLIENT_STREAM: (
        _method("ClientStream"),
        probe_pb2.ClientStreamRequest,
    ),
    driver_pb2.PROBE_METHOD_BIDI_STREAM: (_method("BidiStream"), probe_pb2.BidiStreamRequest),
}


def asked(request: driver_pb2.CallRequest) -> tuple[Method, Sequence[Any]]:
    """Return the method that a CallRequest asks for, and the messages to send.

    Raises:
        InvalidArgumentError: it asks for no call that there is.
    """
    if request.method not in _KINDS:
        raise InvalidArgumentError(Violation("method", f"there is no method {request.method}"))
    method, message = _KINDS[request.method]
    if not method.request_streaming and len(request.payloads) != 1:
        raise InvalidArgumentError(
            Violation("payloads", f"the method takes one message, not {len(request.payloads)}")
        )
    return method, [message(payload=payload) for payload in request.payloads]
