"""Processes of `benchmarks.pipeline`, and calls to them."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from blackhole.conformance.v1 import probe_pb2
from conformance.harness.addresses import HOST, UnixAddress

from .arms import BOUND, dial
from .native import Load
from .pipeline import METHOD, configure
from .placement import Placement

PAYLOAD = bytes(64)

Burst = Callable[[], Awaitable[None]]


class Servers:
    """Running servers and collectors, and what it takes to call them."""

    def __init__(self, directory: Path, placement: Placement, stack: ExitStack) -> None:
        """Start with none; the stack ends all of them."""
        self.directory = directory
        self._placement = placement
        self._stack = stack
        self._token = configure(directory)
        self._collectors: dict[str, subprocess.Popen[bytes]] = {}

    def collector(self, name: str, *, delay: float = 0.0) -> int:
        """Run a collector of traces, beside whoever measures; return its port."""
        words = ("collect", "--delay", delay)
        self._collectors[name], said = self._run(name, {}, *words, beside=nullcontext())
        return int(said)

    def serve(
        self,
        prefix: str,
        port: int,
        *,
        only: str = "",
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """Run servers, whose spans go to a port; see `pipeline.serve`.

        Args:
            prefix: of their sockets' names.
            port: of the collector.
            only: one row; empty: all of them.
            env: added to the environment.
            before: words before the interpreter.
        """
        options = ("--prefix", prefix, "--only", only)
        words = ("serve", self.directory, port, *options)
        beside = self._placement.spawning()
        self._run(f"{prefix}serve", env or {}, *words, before=before, beside=beside)

    def unused_port(self) -> int:
        """Return a port at which nobody listens, nor can anybody."""
        reserved = self._stack.enter_context(socket.socket())
        reserved.bind((HOST, 0))
        return int(reserved.getsockname()[1])

    def has(self, row: str, missing: str) -> None:
        """Do not run the test where there is no such server; say what is missing then."""
        if not self.socket(row).exists():
            pytest.skip(missing)

    def socket(self, row: str) -> Path:
        """Return the Unix socket of a server."""
        return self.directory / row

    def caller(self, stack: ExitStack, row: str) -> Callable[[], object]:
        """Return what makes one call, and checks its answer; the stack hangs up."""
        channel = stack.enter_context(dial(UnixAddress(self.socket(row))))
        unary: Any = channel.unary_unary(METHOD)
        body = _body()

        def call() -> None:
            assert unary(body, metadata=self._metadata, timeout=BOUND) == body

        return call

    def load(self, program: str, row: str, callers: int) -> Burst:
        """Return what makes a burst of native load."""
        body = _body()
        load = Load(program, self.socket(row), METHOD, body, len(body), self._metadata)
        return load.burst(self.directory, callers)

    def once_killed(self, name: str, burst: Burst) -> Burst:
        """Return the same burst, but that a collector is killed after the first of them."""

        async def call() -> None:
            await burst()
            self._collectors[name].kill()

        return call

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._token}"), ("x-request-id", "benchmark"))

    def _run(
        self,
        name: str,
        env: Mapping[str, str],
        *words: Any,
        beside: AbstractContextManager[None],
        before: Sequence[str] = (),
    ) -> tuple[subprocess.Popen[bytes], bytes]:
        """Run a process until the end; return it, and its first line."""
        command = (*before, sys.executable, "-m", "benchmarks.pipeline", *map(str, words))
        file = self.directory / f"{name}.log"
        with file.open("wb") as log, beside:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env={**os.environ, **env}
            )
        self._stack.enter_context(process)
        self._stack.callback(process.terminate)
        assert process.stdout is not None, "its output was asked for"
        said = process.stdout.readline()
        assert said, file.read_text()
        return process, said


@contextmanager
def serving(placement: Placement) -> Iterator[Servers]:
    """Have servers in a directory of their own, and end them."""
    with tempfile.TemporaryDirectory(prefix="bh") as directory, ExitStack() as stack:
        yield Servers(Path(directory), placement, stack)


def _body() -> bytes:
    return probe_pb2.UnaryRequest(payload=PAYLOAD).SerializeToString()
