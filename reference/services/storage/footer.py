"""The footer of a stored file: what is known of it, behind its bytes.

File and footer are one file on the disk, so that neither is ever there without
the other:

    the bytes of the file
    FileInfo in protobuf's binary form
    number of bytes of FileInfo, 4 bytes, big-endian
    "bhf1"
"""

import os
import struct

from google.protobuf.message import DecodeError

from blackhole.storage.v1 import storage_pb2 as pb

_END = struct.Struct(">I4s")
_MAGIC = b"bhf1"


def footer_of(info: pb.FileInfo) -> bytes:
    """Return the footer of a file."""
    data = info.SerializeToString()
    return data + _END.pack(len(data), _MAGIC)


def read_footer(file: int) -> pb.FileInfo:
    """Return what is known of an open file.

    Args:
        file: its descriptor.

    Raises:
        OSError: it cannot be read.
        ValueError: it has no footer that fits it: somebody else wrote there.
    """
    whole = os.fstat(file).st_size
    end = os.pread(file, _END.size, max(0, whole - _END.size))
    if len(end) < _END.size:
        raise ValueError("is too short")
    length, magic = _END.unpack(end)
    size = whole - _END.size - length
    if magic != _MAGIC or size < 0:
        raise ValueError("has no footer")
    try:
        info = pb.FileInfo.FromString(os.pread(file, length, size))
    except DecodeError as error:
        raise ValueError("has a footer that cannot be read") from error
    if info.size != size:
        raise ValueError(f"has {size} bytes instead of {info.size}")
    return info
