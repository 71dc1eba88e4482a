"""What the peer answers: small values, made by functions that read well in a test.

A reply is a row of steps, decided before anything is sent; `answering` performs them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import status_pb2

from .calls import Metadata

PING = b"ping"
"""What is sent where a test does not care."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Waits, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Echo:
    """Sends back what came."""


@dataclass(frozen=True, slots=True)
class Say:
    """Sends payloads, one message each; on Batch one message with all of them."""

    payloads: tuple[bytes, ...]
    gzip: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """Sends bytes as a message, whatever they are."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Sends so many bytes of the frame of a message, and no more."""

    count: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class End:
    """Ends the answer with a status."""

    code: int = 0
    message: str = ""
    details: bytes = b""
    """A serialized google.rpc.Status; empty: none."""
    metadata: Metadata = ()


@dataclass(frozen=True, slots=True)
class Reset:
    """Ends the answer with RST_STREAM."""

    error_code: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Closes the connection."""


@dataclass(frozen=True, slots=True)
class Forge:
    """Sends any bytes in place of HTTP/2, told the number of the call's stream."""

    parts: Callable[[int], Iterable[bytes]]


Step = Pause | Echo | Say | Raw | Part | End | Reset | Drop | Forge


@dataclass(frozen=True, slots=True)
class Reply:
    """How one call is answered, once its request is complete."""

    words: str
    """As a test says it."""
    steps: tuple[Step, ...]
    initial: Metadata = ()
    """Metadata of the headers, which are sent with the first message."""
    awaits_release: bool = False

    @property
    def echoes(self) -> bool:
        """Whether it answers each message as it comes."""
        return any(isinstance(step, Echo) for step in self.steps)

    @property
    def compresses(self) -> bool:
        """Whether any of its messages is compressed."""
        return any(isinstance(step, Say) and step.gzip for step in self.steps)

    def __repr__(self) -> str:
        """Show it as a test says it."""
        return self.words


def echo(*, after: float = 0.0) -> Reply:
    """Send back what came, `after` seconds.

    Unary and ServerStream: the payload. ClientStream: all payloads as one. BidiStream: each, as
    it comes. Batch: each item.
    """
    return Reply(_words("echo", after=after), (*_pause(after), Echo(), End()))


def ok(
    *payloads: bytes,
    after: float = 0.0,
    initial: Metadata = (),
    metadata: Metadata = (),
    gzip: bool = False,
) -> Reply:
    """Send payloads, one message each, and OK.

    Args:
        payloads: none on a method with one answer: one empty payload. More than one there, or
            `fails("OK")`, breaks the protocol.
        after: seconds before anything is sent.
        initial: metadata of the headers.
        metadata: metadata of the trailers.
        gzip: whether the messages are compressed.
    """
    return Reply(
        _words("ok", *payloads, after=after, initial=initial, metadata=metadata, gzip=gzip),
        (*_pause(after), Say(payloads, gzip), End(metadata=tuple(metadata))),
        tuple(initial),
    )


def results(*items: bytes) -> Reply:
    """Answer Batch with these results, however many items came."""
    return Reply(_words("results", *items), (Say(items), End()))


def raw_message(body: bytes) -> Reply:
    """Send these bytes as the one message, and OK."""
    return Reply(_words("raw_message", body), (Raw(body), End()))


def fails(  # noqa: PLR0913 - a failure is described by these
    code: str | int,
    message: str = "",
    details: Sequence[Message] = (),
    messages: Sequence[bytes] = (),
    *,
    after: float = 0.0,
    initial: Metadata = (),
    metadata: Metadata = (),
) -> Reply:
    """End the call with a status.

    Args:
        code: its name, or any number.
        message: its message.
        details: messages for google.rpc.Status in `grpc-status-details-bin`; none: no such entry.
        messages: payloads that are sent before it; without them and without `initial` the
            answer is one block of headers.
        after: seconds before anything is sent.
        initial: metadata of the headers.
        metadata: metadata of the trailers.

    Raises:
        KeyError: there is no code of that name.
    """
    number = code if isinstance(code, int) else grpc.StatusCode[code].value[0]
    said = (Say(tuple(messages)),) if messages else ()
    end = End(number, message, _details(number, message, details), tuple(metadata))
    words = _words(
        "fails", code, message, messages=tuple(messages), after=after, initial=initial,
        metadata=metadata, details=[detail.DESCRIPTOR.full_name for detail in details],
    )  # fmt: skip
    return Reply(words, (*_pause(after), *said, end), tuple(initial))


def hangs(*payloads: bytes) -> Reply:
    """Send payloads, if there are any, and never an end."""
    said = (Say(payloads),) if payloads else ()
    return Reply(_words("hangs", *payloads), said)


def resets(error_code: int, *, after: float = 0.0) -> Reply:
    """End the call by RST_STREAM with an error code of HTTP/2, `after` seconds."""
    words = _words("resets", error_code, after=after)
    return Reply(words, (*_pause(after), Reset(error_code)))


def drops(*, after: float = 0.0) -> Reply:
    """Close the connection in place of an answer, `after` seconds."""
    return Reply(_words("drops", after=after), (*_pause(after), Drop()))


def half(count: int, payload: bytes = b"x" * 64) -> Reply:
    """Send headers and the first `count` bytes of a message's frame, then close the connection."""
    return Reply(_words("half", count), (Part(count, payload), Drop()))


def forged(name: str, parts: Callable[[int], Iterable[bytes]], *, closes: bool = False) -> Reply:
    """Send any bytes in place of an answer.

    Args:
        name: what they are, in a word.
        parts: makes them, told the number of the call's stream.
        closes: whether the connection is closed after them.
    """
    steps = (Forge(parts), Drop()) if closes else (Forge(parts),)
    return Reply(_words("forged", name), steps)


def held(reply: Reply) -> Reply:
    """Answer like `reply`, but not before `peer.release()`."""
    return replace(reply, words=f"held({reply.words})", awaits_release=True)


def _pause(after: float) -> tuple[Pause, ...]:
    return (Pause(after),) if after else ()


def _details(code: int, message: str, details: Sequence[Message]) -> bytes:
    if not details:
        return b""
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return bytes(status.SerializeToString())


def _words(name: str, *given: Any, **named: Any) -> str:
    parts = [_shown(value) for value in given if value != ""]
    parts += [f"{key}={_shown(value)}" for key, value in named.items() if value]
    return f"{name}({', '.join(parts)})"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}… ({len(text)})"  # noqa: PLR2004
