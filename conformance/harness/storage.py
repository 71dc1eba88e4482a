"""The storage service under judgement: words for what it offers."""

import hashlib
import itertools
from collections.abc import Iterable
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message

from blackhole.storage.v1 import storage_pb2 as pb

from . import bounds
from .answers import answer_by_hand
from .calls import Answer, Channel, Metadata, Stream
from .frames import framed
from .judging import NonConformance, expect
from .raw import RawAnswer, RawConnection
from .service import ServedProcess

SERVICE = "blackhole.storage.v1.StorageService"
UPLOAD = f"/{SERVICE}/UploadFile"

_METHODS = pb.DESCRIPTOR.services_by_name["StorageService"].methods_by_name
_numbers = itertools.count(1)


def new_id() -> str:
    """Return a file ID that nobody else uses."""
    return f"suite-file-{next(_numbers)}"


def content(label: str, size: int) -> bytes:
    """Return so many bytes that do not repeat, the same whenever the label is."""
    return hashlib.shake_128(label.encode()).digest(size)


def told(data: bytes) -> tuple[int, str]:
    """Return what tells a file from others: its size, and its SHA-256 in hexadecimal."""
    return len(data), hashlib.sha256(data).hexdigest()


class Upload:
    """An upload by hand: each chunk leaves when the test says so.

    Not by grpc.aio's call with a stream of requests: where the server ends such a call first,
    that one may put an error of its own in the place of the server's.
    """

    def __init__(self, raw: RawConnection, stream: int) -> None:
        """Take a call whose headers were sent."""
        self._raw = raw
        self._stream = stream

    @classmethod
    async def begin(cls, raw: RawConnection, metadata: Iterable[tuple[str, str]] = ()) -> "Upload":
        """Send the headers of UploadFile on a connection."""
        return cls(raw, await raw.begin(UPLOAD, list(metadata)))

    async def send(self, data: bytes, file_id: str = "") -> None:
        """Send one chunk."""
        request = pb.UploadFileRequest(file_id=file_id, data=data)
        await self._raw.send(self._stream, framed(request))

    async def send_half(self, data: bytes, file_id: str = "") -> None:
        """Send the first half of one chunk's frame."""
        frame = framed(pb.UploadFileRequest(file_id=file_id, data=data))
        await self._raw.send(self._stream, frame[: len(frame) // 2])

    async def ended(self) -> RawAnswer:
        """End the stream of chunks, and wait for whatever comes, or for the connection's end."""
        await self._raw.send(self._stream, b"", end=True)
        return await self._raw.over(self._stream)

    async def finish(self) -> Answer:
        """End the stream of chunks, and wait for the answer.

        Raises:
            NonConformance: as `over`.
        """
        await self._raw.send(self._stream, b"", end=True)
        return await self.over()

    async def over(self) -> Answer:
        """Wait until the service ends the call.

        Raises:
            NonConformance: it does not in time, or without a status.
        """
        ended = await self._raw.over(self._stream)
        if ended.grpc_status is None:
            raise NonConformance(what=UPLOAD, expected="an answer", observed=ended)
        messages = ended.messages()
        expect(len(messages), at_most=1, what=f"messages of the answer to {UPLOAD}")
        message = messages[0] if messages else None
        return answer_by_hand(ended.headers | ended.trailers, message, pb.UploadFileResponse)

    async def cancel(self) -> None:
        """Reset the call."""
        await self._raw.cancel(self._stream)


class Storage(ServedProcess):
    """One running storage service, and a channel of the suite's to it."""

    NAME = "storage"

    async def upload(
        self,
        file_id: str,
        *chunks: bytes,
        metadata: Metadata = (),
        each: bool = False,
        channel: Channel | None = None,
        timeout: float = bounds.DEADLINE,
    ) -> Answer:
        """Upload chunks that are taken as one file; for uploads that must succeed, or are short.

        Args:
            file_id: given with the first chunk.
            chunks: one empty chunk when there is none.
            each: whether the ID is given with every chunk.
            metadata: custom metadata.
            channel: another one than the usual.
            timeout: deadline in seconds.
        """
        requests = [
            pb.UploadFileRequest(file_id=file_id if each or number == 0 else "", data=chunk)
            for number, chunk in enumerate(chunks or (b"",))
        ]
        return await (channel or self.channel).streamed(
            UPLOAD, requests, pb.UploadFileResponse, timeout=timeout, metadata=metadata
        )

    async def uploaded(self, file_id: str, *chunks: bytes, **how: Any) -> Any:
        """Upload what must be taken, and return the answer's message."""
        return self._ok("UploadFile", await self.upload(file_id, *chunks, **how))

    async def call(
        self, method: str, request: Message, channel: Channel | None = None, **how: Any
    ) -> Answer:
        """Call a unary method of StorageService by name."""
        response = message_factory.GetMessageClass(_METHODS[method].output_type)
        path = f"/{SERVICE}/{method}"
        return await (channel or self.channel).unary(path, request, response, **how)

    async def stat(self, file_id: str, **how: Any) -> Answer:
        """Ask what is known of a file."""
        return await self.call("StatFile", pb.StatFileRequest(file_id=file_id), **how)

    async def info(self, file_id: str) -> Any:
        """Return what is known of a file that must be there."""
        return self._ok("StatFile", await self.stat(file_id)).file

    async def delete(self, file_id: str) -> Answer:
        """Delete a file."""
        return await self.call("DeleteFile", pb.DeleteFileRequest(file_id=file_id))

    async def downloading(self, file_id: str, channel: Channel | None = None) -> Stream:
        """Begin to download a file; each message holds some bytes as `data`."""
        return await (channel or self.channel).subscribe(
            f"/{SERVICE}/DownloadFile",
            pb.DownloadFileRequest(file_id=file_id),
            pb.DownloadFileResponse,
        )

    async def download(self, file_id: str) -> tuple[list[bytes], Answer]:
        """Download a file; return the data of each message, and how the call ended."""
        messages, answer = await (await self.downloading(file_id)).rest()
        return [message.data for message in messages], answer

    async def content(self, file_id: str) -> bytes:
        """Download a file that must be there."""
        chunks, answer = await self.download(file_id)
        self._ok("DownloadFile", answer)
        return b"".join(chunks)

    async def lives(self) -> None:
        """Make sure that it still serves: upload a file, download it, and delete it.

        Raises:
            NonConformance: it does not.
        """
        file_id = new_id()
        told = await self.uploaded(file_id, b"still ", b"serves")
        expect(
            (told.size, told.sha256, await self.content(file_id)),
            equals=(12, hashlib.sha256(b"still serves").digest(), b"still serves"),
            what="still serves",
        )
        self._ok("DeleteFile", await self.delete(file_id))
