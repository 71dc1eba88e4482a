"""What reached the peer: its records of connections, of calls and of their messages.

Times are seconds of `time.monotonic()`, which is one clock for all processes of a host.
"""

import base64
import binascii
import datetime as dt
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message as ProtoMessage
from grpc_health.v1 import health_pb2

from blackhole.conformance.v1 import probe_pb2
from blackhole.identity.v1 import identity_pb2

from .calls import parsed
from .frames import unframed

PROBE = "blackhole.conformance.v1.Probe"

_ARRIVING = (f"/{PROBE}/", "/blackhole.identity.v1.IdentityService/")
"""How paths begin whose calls are arrivals, whether the peer plays them or not."""

_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
"""A `grpc-timeout` (gRPC over HTTP/2, "Requests")."""

_WINDOW_BITS = {"gzip": 31, "deflate": 15}
"""What zlib takes for each encoding that the peer reads."""

_NOT_CUSTOM = re.compile(r":|grpc-|(te|content-type|user-agent)$")
"""Headers that belong to the protocol, and are no metadata of the caller's."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method that the peer plays."""

    name: str
    request: type[ProtoMessage]
    response: type[ProtoMessage]
    brings: str
    """Field of the request that is told as its payload, or payloads."""
    arrives: bool
    """Whether a call of it is an arrival, and not a health check."""


_BRINGS = {"Batch": "items", "Check": "service", "Watch": "service", "ResolveDID": "did"}


def _methods() -> Iterator[tuple[str, Method]]:
    identity: Any = identity_pb2.DESCRIPTOR.services_by_name["IdentityService"]
    played: tuple[Any, ...] = (
        *probe_pb2.DESCRIPTOR.services_by_name["Probe"].methods,
        *health_pb2.DESCRIPTOR.services_by_name["Health"].methods,
        identity.methods_by_name["ResolveDID"],
    )
    for method in played:
        service = method.containing_service.full_name
        request, response = (
            message_factory.GetMessageClass(kind)
            for kind in (method.input_type, method.output_type)
        )
        yield (
            f"/{service}/{method.name}",
            Method(
                name=method.name,
                request=request,
                response=response,
                brings=_BRINGS.get(method.name, "payload"),
                arrives=f"/{service}/" in _ARRIVING,
            ),
        )


METHODS: Mapping[str, Method] = dict(_methods())
"""The methods that the peer plays, by path."""


@dataclass(frozen=True, slots=True)
class TLSSession:
    """What was agreed in a handshake."""

    version: str
    alpn: str
    serial: int
    """Of the client's certificate."""


@dataclass(eq=False, slots=True)
class Connection:
    """One connection that the peer accepted."""

    number: int
    """From 1, in the order in which they were accepted."""
    opened: float
    closed: float | None = None
    ended_by: str = ""
    """`client` or `peer`; empty while it is open."""
    pings: list[float] = field(default_factory=list)
    """When PING frames came that are no acknowledgements. Some clients also send them to
    measure the bandwidth, right after data that came to them."""
    received: int = 0
    """Bytes that came."""
    paths: list[str] = field(default_factory=list)
    """The `:path` of every request, in order."""
    problem: str = ""
    """How the client broke HTTP/2, if it did."""
    tls: TLSSession | None = None
    """None: it is not spoken by TLS."""

    @property
    def counted(self) -> bool:
        """Whether it carried a call that is an arrival, or no call at all.

        One that was closed without a single byte only asked whether the socket accepts.
        """
        if self.paths:
            return any(path.startswith(_ARRIVING) for path in self.paths)
        return self.closed is None or self.received > 0

    def __repr__(self) -> str:
        """Show what it carried, and whether it is still there."""
        state = "open" if self.closed is None else f"closed by {self.ended_by}"
        life = f" after {self.closed - self.opened:.3f} s" if self.closed is not None else ""
        problem = f", {self.problem}" if self.problem else ""
        calls = ", ".join(path.rpartition("/")[2] for path in self.paths[:8])
        more = f" and {len(self.paths) - 8} more" if len(self.paths) > 8 else ""  # noqa: PLR2004
        return (
            f"Connection({self.number}, {state}{life}, calls [{calls}{more}],"
            f" {len(self.pings)} pings{problem})"
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a request."""

    compressed: bool
    """Its compressed flag."""
    wire: bytes = field(repr=False)
    """As it came, without the prefix of five bytes."""
    body: bytes
    """Decompressed; as it came where that is impossible."""
    problem: str = ""
    """Why it could not be decompressed."""


@dataclass(eq=False, slots=True)
class Arrival:
    """One request stream that reached the peer."""

    path: str
    connection: Connection
    time: float
    """When its headers came."""
    headers: tuple[tuple[str, str], ...]
    """All headers, as they came."""
    messages: list[Message] = field(default_factory=list)
    """What came so far, in order."""
    complete: float | None = None
    """When the end of the request came."""
    answered: float | None = None
    """Just before the bytes that end the answer were written: what comes later than a moment
    after these bytes were read comes later than that moment after this."""
    cancelled: float | None = None
    """When RST_STREAM came, if it came before the end of the answer."""
    _rest: bytearray = field(default_factory=bytearray)

    @property
    def method(self) -> str:
        """Name of the method, such as `Unary`."""
        return self.path.rpartition("/")[2]

    @property
    def over(self) -> bool:
        """Whether it was answered or cancelled, or its connection is closed."""
        ended = (self.answered, self.cancelled, self.connection.closed)
        return any(moment is not None for moment in ended)

    @property
    def timeout(self) -> float | None:
        """The `grpc-timeout` in seconds, None when there is none that can be read."""
        match = _TIMEOUT.fullmatch(self.header("grpc-timeout") or "")
        return int(match[1]) * _UNITS[match[2]] if match else None

    @property
    def encoding(self) -> str:
        """The `grpc-encoding`; `identity` when there is none."""
        return self.header("grpc-encoding") or "identity"

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The caller's own entries, in order; bytes under names that end in `-bin`."""
        return tuple(
            (name, _binary(part) if name.endswith("-bin") else value)
            for name, value in self.headers
            if not _NOT_CUSTOM.match(name)
            for part in (value.split(",") if name.endswith("-bin") else [value])
        )

    @property
    def payloads(self) -> tuple[bytes, ...]:
        """The payload of each message, or the items of a batch; else the name or DID asked for.

        Raises:
            NonConformance: a message is not of the method's type.
        """
        return tuple(found for message in self.messages for found in self.payloads_of(message))

    def payloads_of(self, message: Message) -> tuple[bytes, ...]:
        """Return what one of the messages brought.

        Raises:
            NonConformance: it is not of the method's type.
        """
        method = METHODS[self.path]
        brought = getattr(parsed(message.body, method.request), method.brings)
        each = [brought] if isinstance(brought, str | bytes) else brought
        return tuple(one.encode() if isinstance(one, str) else one for one in each)

    def header(self, name: str) -> str | None:
        """Return the first value of a header, None when there is none."""
        return next((value for found, value in self.headers if found == name), None)

    def take(self, data: bytes) -> None:
        """Take bytes of the request's body."""
        self._rest += data
        messages, taken = unframed(self._rest)
        del self._rest[:taken]
        for compressed, wire in messages:
            self.messages.append(_message(wire, self.encoding, compressed=compressed))

    def __repr__(self) -> str:
        """Show the call, as far as it came, in one line."""
        parts = [self.method, f"connection {self.connection.number}"]
        if (attempt := self.header("x-retry-attempt")) is not None:
            parts.append(f"attempt {attempt}")
        if self.timeout is not None:
            parts.append(f"timeout {self.timeout:g} s")
        sizes = [f"{len(m.body)} B{' ' + self.encoding * m.compressed}" for m in self.messages]
        parts.append(f"messages [{', '.join(size.strip() for size in sizes[:8])}]")
        moments = {
            "complete": self.complete,
            "answered": self.answered,
            "cancelled": self.cancelled,
        }
        parts += [
            f"{what} after {(moment - self.time) * 1000:.1f} ms"
            for what, moment in moments.items()
            if moment is not None
        ]
        return f"Arrival({', '.join(parts)})"


def story(
    name: str, connections: Sequence[Connection], arrivals: Sequence[Arrival], offset: float
) -> str:
    """Tell what came and went, one JSON object a line, as the timeline merges it.

    Args:
        name: whom it reached.
        connections: all there were.
        arrivals: all there were.
        offset: seconds from the monotonic clock to the wall's.
    """
    moments: list[tuple[float, str]] = []
    for one in connections:
        moments.append((one.opened, f"connection {one.number} opened"))
        moments += [(ping, f"ping on connection {one.number}") for ping in one.pings]
        if one.closed is not None:
            moments.append((one.closed, repr(one)))
    for call in arrivals:
        moments.append((call.time, repr(call)))
        if call.answered is not None:
            moments.append((call.answered, f"{call.method} answered"))
        if call.cancelled is not None:
            moments.append((call.cancelled, f"{call.method} cancelled by the client"))
    return "\n".join(
        json.dumps(
            {
                "time": dt.datetime.fromtimestamp(moment + offset, dt.UTC).isoformat(),
                "peer": name,
                "message": text,
            }
        )
        for moment, text in sorted(moments)
    )


def _message(wire: bytes, encoding: str, *, compressed: bool) -> Message:
    if not compressed:
        return Message(compressed, wire, wire)
    if encoding not in _WINDOW_BITS:
        return Message(compressed, wire, wire, f"compressed with {encoding!r}")
    try:
        return Message(compressed, wire, zlib.decompress(wire, _WINDOW_BITS[encoding]))
    except zlib.error as error:
        return Message(compressed, wire, wire, f"not {encoding}: {error}")


def _binary(text: str) -> bytes:
    """Return what a `-bin` value encodes; what is no base64 comes back as it is."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return text.encode("latin-1")
