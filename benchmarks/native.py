"""Load by h2load, a generator that costs a tenth of a Python client: what a server can do."""

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

PREFIX = 5
"""Bytes before each message of gRPC."""

_STATUS = re.compile(r"^status codes: (\d+) 2xx", re.MULTILINE)
_DATA = re.compile(r"\((\d+)\) data$", re.MULTILINE)


def h2load() -> str:
    """Return the program; the test is not run where there is none."""
    if (found := shutil.which("h2load")) is None:
        pytest.skip("NOT RUN: no h2load on this machine (Debian: nghttp2-client)")
    return found


@dataclass(frozen=True, slots=True)
class Load:
    """One unary method at a Unix socket, called again and again."""

    CALLS: ClassVar[int] = 3000
    """Of a burst: some tenths of a second, beside which the start of the program is little."""

    program: str
    socket: Path
    method: str
    request: bytes
    answer: int
    """Bytes of the answer's message, by which a refusal is told from it."""
    metadata: Sequence[tuple[str, str]] = ()

    def burst(self, directory: Path, callers: int) -> Callable[[], Awaitable[None]]:
        """Return what makes CALLS calls on one connection, so many at once.

        Args:
            directory: takes the request as a file.
            callers: calls at once.
        """
        body = directory / f"{self.socket.stem}.body"
        body.write_bytes(b"\0" + len(self.request).to_bytes(4) + self.request)
        command = (
            *(self.program, "-n", str(self.CALLS), "-c", "1", "-m", str(callers)),
            *("-B", f"unix:{self.socket}", "-d", str(body)),
            *("-H", "content-type: application/grpc", "-H", "te: trailers"),
            *(word for name, value in self.metadata for word in ("-H", f"{name}: {value}")),
            f"http://localhost{self.method}",
        )

        async def call() -> None:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            said, _ = await process.communicate()
            self._check(said.decode())

        return call

    def _check(self, said: str) -> None:
        # A refusal is a 200 too, but without a message.
        status, data = _STATUS.search(said), _DATA.search(said)
        found = (int(status[1]), int(data[1])) if status and data else None
        expected = (self.CALLS, self.CALLS * (PREFIX + self.answer))
        assert found == expected, f"{found} are not {expected}:\n{said}"
