"""A process that may open no further file, for a while."""

import resource
import subprocess
import sys
from pathlib import Path

from conformance.harness.descriptors import descriptors_of, no_more_files
from conformance.harness.processes import Process

OPENS = """
import os
print("ready", flush=True)
while input():
    try:
        os.close(os.open("/dev/null", os.O_RDONLY))
        print("opened", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""


def test_a_process_opens_no_further_file_until_the_block_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", OPENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as popen:
        assert popen.stdin is not None
        assert popen.stdout is not None
        process, said = Process(popen, "opens", tmp_path), popen.stdout

        def asked() -> bytes:
            popen.stdin.write(b"open\n")  # type: ignore[union-attr]
            popen.stdin.flush()  # type: ignore[union-attr]
            return said.readline()

        assert said.readline() == b"ready\n"
        before = resource.prlimit(popen.pid, resource.RLIMIT_NOFILE)
        count = descriptors_of(process)

        assert asked() == b"opened\n"
        with no_more_files(process):
            assert asked() == b"Too many open files\n"
        assert asked() == b"opened\n"

        assert resource.prlimit(popen.pid, resource.RLIMIT_NOFILE) == before
        assert descriptors_of(process) == count
        popen.stdin.write(b"\n")
