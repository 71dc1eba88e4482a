"""Memory that is looked at all the while: what is given back meanwhile counts too."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.harness.bounds import PROMPT, until
from conformance.harness.memory import watched
from conformance.harness.processes import Process

TAKES = """
input()
block = b"x" * (96 << 20)
input()
del block
print("given back", flush=True)
input()
"""


@pytest.fixture
def taking() -> Iterator[subprocess.Popen[bytes]]:
    """A process that takes 96 MiB, and gives them back, each at a line of its input."""
    with subprocess.Popen(
        [sys.executable, "-c", TAKES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as popen:
        yield popen
        popen.kill()


async def test_what_was_given_back_counts(taking: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert taking.stdin is not None
    assert taking.stdout is not None
    async with watched(Process(taking, "taking", tmp_path)) as memory:
        taking.stdin.write(b"\n")
        await until(lambda: memory.growth > 90, bound=5 * PROMPT, what="it has taken them")
        taking.stdin.write(b"\n")
        assert await asyncio.to_thread(taking.stdout.readline) == b"given back\n"

    assert 90 < memory.growth < 110
