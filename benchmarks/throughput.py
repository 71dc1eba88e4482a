"""What a file costs beside a bare stream: `python -m benchmarks.throughput`.

Four processes listen at Unix sockets: two bare grpc.aio servers of the same schema, which count the
bytes of an upload and send those of a download out of memory; the storage service; and the storage
service without a durable write: nothing is synchronised with the disk. Another process, on another
CPU where there are two, uploads and downloads the same file at each in turn. At the end 512 MiB are
uploaded, and the most memory that the service had meanwhile is told.
"""

import argparse
import asyncio
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from blackhole.storage.v1 import storage_pb2 as pb
from blackhole.storage.v1 import storage_pb2_grpc
from reference.config.service import load
from reference.mesh import server
from reference.services.storage.process import DOWNLOAD_CHUNK, opened

from .interleaved import measure
from .placement import pin
from .series import Spread

MIB = 1 << 20

SIZE = 16 * MIB
"""Bytes of the file."""

CHUNKS = {"64 KiB": 64 << 10, "1 MiB": MIB}
"""Sizes of the chunks of an upload. Those of a download are the service's own."""

LARGE = 512
"""MiB of the file by which memory is measured."""

BOUND = 120.0
"""Seconds in which every call ends, or something is broken."""

ROWS = {
    "bare": "a bare grpc.aio stream",
    "bare-again": "the same again: how far to trust the rest",
    "durable": "the storage service",
    "volatile": "the same without a durable write",
}

DATA = os.urandom(SIZE)


class Bare(storage_pb2_grpc.StorageServiceServicer):
    """Counts what comes, and sends what it has."""

    async def UploadFile(  # noqa: N802 - the schema's name
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], _context: Any
    ) -> pb.UploadFileResponse:
        """Return the size."""
        return pb.UploadFileResponse(size=sum([len(one.data) async for one in request_iterator]))

    async def DownloadFile(  # noqa: N802 - the schema's name
        self, _request: pb.DownloadFileRequest, _context: Any
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        """Send as much as the file has, in chunks of the same size."""
        for at in range(0, SIZE, DOWNLOAD_CHUNK):
            yield pb.DownloadFileResponse(data=DATA[at : at + DOWNLOAD_CHUNK])

    async def StatFile(  # noqa: N802 - the schema's name
        self, _request: pb.StatFileRequest, _context: Any
    ) -> pb.StatFileResponse:
        """Know nothing."""
        return pb.StatFileResponse()

    async def DeleteFile(  # noqa: N802 - the schema's name
        self, _request: pb.DeleteFileRequest, _context: Any
    ) -> pb.DeleteFileResponse:
        """Keep nothing, and so delete nothing."""
        return pb.DeleteFileResponse()


async def serve_bare(path: Path) -> None:
    """Serve until the process is ended."""
    bare = grpc.aio.server(options=[("grpc.max_receive_message_length", 8 * MIB)])
    storage_pb2_grpc.add_StorageServiceServicer_to_server(Bare(), bare)
    bare.add_insecure_port(f"unix:{path}")
    await bare.start()
    await bare.wait_for_termination()


def serve(directory: Path, row: str) -> None:
    """Be one of the servers."""
    pin(0)
    if row.startswith("bare"):
        asyncio.run(serve_bare(directory / "storage.sock"))
        return
    if row == "volatile":
        os.fsync = lambda fd: None  # noqa: ARG005 - the name is that of the parameter
    config = directory / "node.json"
    config.write_text(
        json.dumps(
            {
                "socket_dir": str(directory),
                "data_dir": str(directory / "data"),
                "services": {"storage": {}},
            }
        )
    )
    sys.exit(server.run(load(config, "storage"), opened))


class Caller:
    """A client of one server, by its socket."""

    def __init__(self, path: Path) -> None:
        """Connect once it is there."""
        self._channel = grpc.insecure_channel(f"unix:{path}")
        grpc.channel_ready_future(self._channel).result(timeout=BOUND)
        self._stub: Any = storage_pb2_grpc.StorageServiceStub(self._channel)
        self._numbers = itertools.count()
        self._kept: list[str] = []

    def upload(self, chunk: int, size: int = SIZE) -> None:
        """Upload a new file."""
        name = f"file-{next(self._numbers)}"
        self._kept.append(name)
        requests = (
            pb.UploadFileRequest(
                file_id=name, data=DATA[at % SIZE : at % SIZE + min(chunk, size - at)]
            )
            for at in range(0, size, chunk)
        )
        if self._stub.UploadFile(requests, timeout=BOUND).size != size:
            sys.exit("not all of it was taken")

    def download(self) -> None:
        """Download the first file."""
        stream = self._stub.DownloadFile(pb.DownloadFileRequest(file_id="file-0"), timeout=BOUND)
        if sum(len(one.data) for one in stream) != SIZE:
            sys.exit("not all of it came")

    def tidy(self) -> None:
        """Delete all files but the first."""
        for name in self._kept[1:]:
            self._stub.DeleteFile(pb.DeleteFileRequest(file_id=name), timeout=BOUND)
        del self._kept[1:]


@contextmanager
def served(directory: Path, row: str) -> Iterator[tuple[Caller, int]]:
    """Run a server in a process of its own; give a client of it, and its PID."""
    directory.mkdir()
    command = [sys.executable, "-m", "benchmarks.throughput", "--serve", str(directory), row]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield Caller(directory / "storage.sock"), process.pid
        finally:
            process.terminate()


def shares(
    callers: dict[str, Caller], repetitions: int, act: Callable[[Caller], None]
) -> dict[str, tuple[Spread, Spread]]:
    """Return MiB a second, and the share of the first caller's, of each."""
    rates: dict[str, list[float]] = {row: [] for row in callers}
    parts: dict[str, list[float]] = {row: [] for row in callers}
    for _ in range(repetitions):
        arms = {row: partial(act, caller) for row, caller in callers.items()}
        for row, found in measure(arms, repetitions=1, blocks=2).items():
            rates[row].append(SIZE / MIB / (found.micros.median / 1e6))
            parts[row].append(1 / found.ratio.median)
        for caller in callers.values():
            caller.tidy()
    return {row: (Spread.of(rates[row]), Spread.of(parts[row])) for row in callers}


def memory(pid: int, field: str) -> float:
    """Return a field of a process's memory, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"the kernel tells no {field}")


def report(directory: Path, repetitions: int) -> None:
    """Measure all rows, and print them."""
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"grpcio {grpc.__version__}; {SIZE // MIB} MiB a file, Unix socket; "
        f"median of {repetitions} repetitions (least-most)"
    )
    with ExitStack() as stack:
        both = {row: stack.enter_context(served(directory / row, row)) for row in ROWS}
        callers = {row: caller for row, (caller, _) in both.items()}
        pin(1)
        for caller in callers.values():
            caller.upload(MIB)
        acts: dict[str, Callable[[Caller], None]] = {
            f"upload, chunks of {name}": partial(Caller.upload, chunk=size)
            for name, size in CHUNKS.items()
        }
        acts[f"download, chunks of {DOWNLOAD_CHUNK >> 10} KiB"] = Caller.download
        for name, act in acts.items():
            print(f"\n{name:44}{'MiB a second':>24}{'share of bare':>24}")
            for row, (rate, part) in shares(callers, repetitions, act).items():
                print(f"{ROWS[row]:44}{rate.text(0):>24}{part.text(2):>24}")
        caller, pid = both["durable"]
        before = memory(pid, "VmRSS")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        caller.upload(MIB, LARGE * MIB)
        peak = memory(pid, "VmHWM")
        print(f"\nan upload of {LARGE} MiB: {before:.0f} MiB before, {peak:.0f} MiB at most")


def main() -> None:
    """Measure and print, or with --serve be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve[0]), options.serve[1])
        return
    with tempfile.TemporaryDirectory(prefix="bh") as directory:
        report(Path(directory), options.repetitions)


if __name__ == "__main__":
    main()
