"""The proxy as a process: it says where it is, and ends with who started it."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from conformance.harness.faults.server import ROOT, embedded
from conformance.harness.faults.toxiproxy import Server

ENDED = 10.0
"""Seconds in which it must have ended; seen: 0.05."""

PARENT = """
import sys, time
from conformance.harness.faults.server import embedded
process = embedded()
process.server.create("127.0.0.1:1", "a", "unix:" + sys.argv[1])
print(process.pid, process.server.url, flush=True)
time.sleep(60)
"""


def test_it_ends_with_its_input_and_leaves_nothing(socket_dir: Path) -> None:
    path = socket_dir / "p.sock"
    process = embedded()
    process.server.create("127.0.0.1:1", "a", f"unix:{path}")
    assert path.is_socket()

    process.close()

    assert not process.server.running()
    assert not path.exists()


def test_it_does_not_outlive_one_that_was_killed(socket_dir: Path) -> None:
    path = socket_dir / "p.sock"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, url = parent.stdout.readline().split()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(pid)).wait(ENDED)

    assert not Server(url).running()
    assert not path.exists()


def test_a_port_may_be_chosen_and_a_busy_one_is_told(socket_dir: Path) -> None:
    first = embedded()
    port = first.server.url.rpartition(":")[2]

    second = subprocess.run(
        [sys.executable, "-m", "conformance.harness.faults", "--port", port],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    first.close()

    assert second.returncode != 0
    assert "address already in use" in second.stderr
    assert list(socket_dir.iterdir()) == []
