"""A service that does what a test tells it: `puppet.py NAME [HOW…] --config FILE`.

Run by itself, as the command of a service. It listens where the launch contract says, answers
health checks, and echoes `Probe.Unary`. What it is told and what happens to it are files in
`puppets/NAME` beside FILE: it appends a line to `starts`, `serves`, `checks` and `stops` each time,
with its PID and the monotonic clock; it reads `say`, whose word is what it says of its health
(SERVING, NOT_SERVING, or HANG: nothing), and `eat`, which makes it take memory, 64 MiB at a time,
and end when it gets no more.
"""

import time

BEGUN = time.monotonic()

# Imported once the time of its start is taken: gRPC alone is as much as a tenth of a second.
import argparse  # noqa: E402
import json  # noqa: E402
import mmap  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import grpc  # noqa: E402
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402

from blackhole.conformance.v1 import probe_pb2  # noqa: E402

MIB = 1 << 20

WORDS = {"SERVING": 1, "NOT_SERVING": 2}

ENOUGH = 256
"""Pieces of 64 MiB that it takes at most: who gives as much sets no limit."""

LONG = 60.0
"""Seconds that it hangs: longer than any test."""

GRACE = 1.0
"""Seconds for which it serves on when it is to end, and those that calls have to finish then."""

QUIET = 0.1
"""Seconds without a call after which it takes its callers to have left."""

STRAY = 20.0
"""Seconds that a stray child of it lives, which nobody ends: longer than the test about it."""


class Diary:
    """The files of one puppet."""

    def __init__(self, directory: Path) -> None:
        """Make the directory."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def note(self, name: str, at: float | None = None) -> None:
        """Append a line, with the time that it is now unless said otherwise."""
        with (self.directory / name).open("a", encoding="ascii") as file:
            file.write(f"{os.getpid()} {time.monotonic() if at is None else at}\n")

    def told(self, name: str) -> str:
        """Return what a test wrote; empty: nothing."""
        try:
            return (self.directory / name).read_text(encoding="ascii")
        except FileNotFoundError:
            return ""


class Health(health_pb2_grpc.HealthServicer):
    """Says what it is told, SERVING otherwise."""

    def __init__(self, diary: Diary, usual: str, after: float) -> None:
        """Say NOT_SERVING for `after` seconds."""
        self._diary = diary
        self._usual = usual
        self._begin = time.monotonic() + after
        self._served = False

    def Check(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - the method's name
        """Answer."""
        self._diary.note("checks")
        word = self._diary.told("say") or self._usual
        if time.monotonic() < self._begin:
            word = "NOT_SERVING"
        if word == "HANG":
            time.sleep(LONG)
        if word == "SERVING" and not self._served:
            self._served = True
            self._diary.note("serves")
        return health_pb2.HealthCheckResponse(status=WORDS[word])


class Echo:
    """Answers `Probe.Unary` with the payload, and knows when it was asked last."""

    def __init__(self) -> None:
        """Start with no call."""
        self._last = 0.0

    def __call__(self, request: probe_pb2.UnaryRequest, _context: Any) -> probe_pb2.UnaryResponse:
        """Answer."""
        self._last = time.monotonic()
        return probe_pb2.UnaryResponse(payload=request.payload)

    def drain(self) -> None:
        """Serve on until nobody calls any more: gRPC cancels whatever waits when it is stopped."""
        end = time.monotonic() + GRACE
        while (now := time.monotonic()) < min(end, self._last + QUIET):
            time.sleep(min(end, self._last + QUIET) - now)


def eat(diary: Diary) -> None:
    """Take memory until there is no more, and end for want of it."""
    (diary.directory / "eat").unlink()
    hoard: list[mmap.mmap] = []
    try:
        while len(hoard) < ENOUGH:
            # Never touched: it counts as address space, and takes none of the host's memory.
            hoard.append(mmap.mmap(-1, 64 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    except OSError:
        os._exit(1)


def serve(options: argparse.Namespace, diary: Diary) -> None:
    """Serve until SIGTERM."""
    config = json.loads(Path(options.config).read_text(encoding="utf-8"))
    label = f"{options.name}@{options.version}" if options.version else options.name
    path = Path(config["socket_dir"]) / f"{label}.sock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    stop = threading.Event()
    if options.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    health_pb2_grpc.add_HealthServicer_to_server(
        Health(diary, "NOT_SERVING" if options.never else "SERVING", options.after), server
    )
    echo = Echo()
    handler = grpc.unary_unary_rpc_method_handler(
        echo, probe_pb2.UnaryRequest.FromString, probe_pb2.UnaryResponse.SerializeToString
    )
    probe = probe_pb2.DESCRIPTOR.services_by_name["Probe"].full_name
    server.add_registered_method_handlers(probe, {"Unary": handler})
    server.add_insecure_port(f"unix:{path}")
    server.start()
    while not stop.wait(0.02):
        if diary.told("eat"):
            eat(diary)
    diary.note("stops")
    time.sleep(options.linger)
    path.unlink(missing_ok=True)
    echo.drain()
    server.stop(GRACE).wait()


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--config", required=True)
    parser.add_argument("--version", default="")
    parser.add_argument("--after", type=float, default=0.0, help="seconds until it serves")
    parser.add_argument("--linger", type=float, default=0.0, help="seconds that it takes to end")
    parser.add_argument("--never", action="store_true", help="never serves")
    parser.add_argument("--exits", type=int, default=None, help="ends at once, with this status")
    parser.add_argument("--deaf", action="store_true", help="ignores SIGTERM")
    parser.add_argument("--stray", action="store_true", help="starts a child that it forgets")
    options = parser.parse_args()
    diary = Diary(Path(options.config).parent / "puppets" / options.name)
    diary.note("starts", BEGUN)
    if options.exits is not None:
        sys.exit(options.exits)
    if options.stray:
        stray = subprocess.Popen([sys.executable, "-S", "-c", f"import time; time.sleep({STRAY})"])  # noqa: S603 - ours
        (diary.directory / "stray").write_text(str(stray.pid), encoding="ascii")
    serve(options, diary)


if __name__ == "__main__":
    main()
