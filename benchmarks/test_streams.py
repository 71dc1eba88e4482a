"""Streams by the size of their messages: messages and bytes a second, over each transport."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from blackhole.ledger.v1 import ledger_pb2
from blackhole.storage.v1 import storage_pb2
from conformance.harness import ledger as ledger_words
from conformance.harness import storage as storage_words

from . import floors as floor
from .arms import BARE, BOUND, IMPLEMENTATION, Floors, bases, dial
from .asking import Arms, Case, Question
from .served import Served

ARMS = (*IMPLEMENTATION, *BARE)

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Stream:
    """So many messages of so many bytes."""

    messages: int
    size: int

    @property
    def bytes(self) -> int:
        """All of them."""
        return self.messages * self.size

    def case(self, question: str, name: str) -> Case:
        """Name what is measured."""
        return Case(question, name, bytes=self.bytes, calls=self.messages, unit="messages")


DOWN = {"64B": Stream(500, 64), "64KiB": Stream(64, 1 << 16), "1MiB": Stream(8, 1 << 20)}
"""Sizes of entries; a message holds one."""

UP = {"4KiB": Stream(256, 1 << 12), "64KiB": Stream(64, 1 << 16), "1MiB": Stream(8, 1 << 20)}
"""Sizes of chunks; a message holds one."""


@dataclass(frozen=True, slots=True)
class Written:
    """A ledger with entries to read."""

    ledger: Served
    first: dict[str, int]
    """Index of the first entry, by size."""


@pytest.fixture(scope="session")
async def written(ledger: Served) -> Written:
    """Write entries of each size to the ledger."""
    service: Any = ledger.service
    found = {}
    for name, stream in DOWN.items():
        first = await service.appended("benchmark", bytes(stream.size))
        found[name] = first.index
        for _ in range(stream.messages - 1):
            await service.appended("benchmark", bytes(stream.size))
    return Written(ledger, found)


@pytest.mark.parametrize("size", DOWN)
@pytest.mark.parametrize("arm", ARMS)
def test_server_stream(
    size: str,
    arm: str,
    written: Written,
    floors: Floors,
    question: Question,
) -> None:
    """LedgerService/StreamEntries, of entries that are there."""
    written.ledger.has(arm)
    stream, first = DOWN[size], written.first[size]
    case = stream.case("server stream", size)
    with ExitStack() as stack:

        def arms() -> Arms:
            return {
                **{
                    name: reader(stack.enter_context(dial(address)), first, stream)
                    for name, address in written.ledger.addresses.items()
                },
                **{
                    name: bare_reader(stack.enter_context(dial(floors.bare(name))), stream)
                    for name in BARE
                },
            }

        question.tell(case, arms, arm, *bases(arm))


@pytest.mark.parametrize("size", UP)
@pytest.mark.parametrize("arm", ARMS)
def test_upload(size: str, arm: str, storage: Served, floors: Floors, question: Question) -> None:
    """StorageService/UploadFile: a client stream, answered once the file is on the disk."""
    storage.has(arm)
    stream = UP[size]
    case = stream.case("upload", size)
    with ExitStack() as stack:

        def arms() -> Arms:
            return {
                **{
                    name: uploader(stack.enter_context(dial(address)), stream)
                    for name, address in storage.addresses.items()
                },
                **{
                    name: bare_writer(stack.enter_context(dial(floors.bare(name))), stream)
                    for name in BARE
                },
            }

        question.tell(case, arms, arm, *bases(arm))


def reader(channel: grpc.Channel, first: int, stream: Stream) -> Callable[[], object]:
    """Return what reads so many entries, and checks each."""
    entries: Any = channel.unary_stream(
        f"/{ledger_words.SERVICE}/StreamEntries",
        request_serializer=ledger_pb2.StreamEntriesRequest.SerializeToString,
        response_deserializer=ledger_pb2.StreamEntriesResponse.FromString,
    )
    request = ledger_pb2.StreamEntriesRequest(from_index=first)
    payload = bytes(stream.size)

    def call() -> None:
        following = entries(request, timeout=BOUND)
        for number, message in enumerate(itertools.islice(following, stream.messages)):
            assert (message.entry.index, message.entry.payload) == (first + number, payload)
        following.cancel()

    return call


def bare_reader(channel: grpc.Channel, stream: Stream) -> Callable[[], object]:
    """Return what reads as much from a bare server."""
    down: Any = channel.unary_stream(floor.DOWN)
    order, payload = floor.ORDER.pack(stream.messages, stream.size), bytes(stream.size)

    def call() -> None:
        messages = list(down(order, timeout=BOUND))
        assert len(messages) == stream.messages
        assert all(message == payload for message in messages)

    return call


def uploader(channel: grpc.Channel, stream: Stream) -> Callable[[], object]:
    """Return what uploads a file, checks the answer, and deletes the file again."""
    upload: Any = channel.stream_unary(
        f"/{storage_words.SERVICE}/UploadFile",
        request_serializer=storage_pb2.UploadFileRequest.SerializeToString,
        response_deserializer=storage_pb2.UploadFileResponse.FromString,
    )
    delete: Any = channel.unary_unary(
        f"/{storage_words.SERVICE}/DeleteFile",
        request_serializer=storage_pb2.DeleteFileRequest.SerializeToString,
    )
    data = bytes(stream.size)
    expected = stream.bytes, hashlib.sha256(bytes(stream.bytes)).digest()

    def chunks(file_id: str) -> Iterator[storage_pb2.UploadFileRequest]:
        yield storage_pb2.UploadFileRequest(file_id=file_id, data=data)
        for _ in range(stream.messages - 1):
            yield storage_pb2.UploadFileRequest(data=data)

    def call() -> object:
        file_id = f"benchmark.{next(_numbers)}"
        answer = upload(chunks(file_id), timeout=BOUND)
        assert (answer.size, answer.sha256) == expected
        return lambda: delete(storage_pb2.DeleteFileRequest(file_id=file_id), timeout=BOUND)

    return call


def bare_writer(channel: grpc.Channel, stream: Stream) -> Callable[[], object]:
    """Return what sends as much to a bare server."""
    up: Any = channel.stream_unary(floor.UP)
    chunk, expected = bytes(stream.size), floor.LENGTH.pack(stream.bytes)

    def call() -> None:
        assert up(iter([chunk] * stream.messages), timeout=BOUND) == expected

    return call
