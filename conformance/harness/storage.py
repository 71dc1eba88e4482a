"""The storage service under judgement: words for what it offers."""

import hashlib
import itertools
from collections.abc import Iterable
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message

from blackhole.storage.v1 import storage_pb2 as pb

from . import bounds
from .calls import Answer, Channel, Metadata
from .frames import framed
from .judging import expect
from .raw import RawAnswer, RawConnection
from .service import ServedProcess

SERVICE = "blackhole.storage.v1.StorageService"
UPLOAD = f"/{SERVICE}/UploadFile"

_METHODS = pb.DESCRIPTOR.services_by_name["StorageService"].methods_by_name
_numbers = itertools.count(1)


def new_id() -> str:
    """Return a file ID that nobody else uses."""
    return f"suite-file-{next(_numbers)}"


class Upload:
    """An upload by hand: each chunk leaves when the test says so.

    Not by grpc.aio's call with a stream of requests: where the server ends such a call first,
    that one may put an error of its own in the place of the server's. What is sent must fit the
    connection's first flow-control window, or be little enough for the server to take it.
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

    async def finish(self) -> RawAnswer:
        """End the stream of chunks, and wait for the answer."""
        await self._raw.send(self._stream, b"", end=True)
        return await self._raw.over(self._stream)

    async def over(self) -> RawAnswer:
        """Wait until the service ends the call."""
        return await self._raw.over(self._stream)

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
        channel: Channel | None = None,
        timeout: float = bounds.DEADLINE,
    ) -> Answer:
        """Upload chunks that are taken as one file; for uploads that must succeed, or are short.

        Args:
            file_id: given with the first chunk.
            chunks: one empty chunk when there is none.
            metadata: custom metadata.
            channel: another one than the usual.
            timeout: deadline in seconds.
        """
        requests = [
            pb.UploadFileRequest(file_id=file_id if number == 0 else "", data=chunk)
            for number, chunk in enumerate(chunks or (b"",))
        ]
        return await (channel or self.channel).streamed(
            UPLOAD, requests, pb.UploadFileResponse, timeout=timeout, metadata=metadata
        )

    async def uploaded(self, file_id: str, *chunks: bytes, **how: Any) -> Any:
        """Upload what must be taken, and return the answer's message."""
        return self._ok("UploadFile", await self.upload(file_id, *chunks, **how))

    async def call(self, method: str, request: Message, channel: Channel | None = None) -> Answer:
        """Call a unary method of StorageService by name."""
        response = message_factory.GetMessageClass(_METHODS[method].output_type)
        return await (channel or self.channel).unary(f"/{SERVICE}/{method}", request, response)

    async def stat(self, file_id: str) -> Answer:
        """Ask what is known of a file."""
        return await self.call("StatFile", pb.StatFileRequest(file_id=file_id))

    async def delete(self, file_id: str) -> Answer:
        """Delete a file."""
        return await self.call("DeleteFile", pb.DeleteFileRequest(file_id=file_id))

    async def download(self, file_id: str) -> tuple[list[bytes], Answer]:
        """Download a file; return the data of each message, and how the call ended."""
        stream = await self.channel.subscribe(
            f"/{SERVICE}/DownloadFile",
            pb.DownloadFileRequest(file_id=file_id),
            pb.DownloadFileResponse,
        )
        messages, answer = await stream.rest()
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
