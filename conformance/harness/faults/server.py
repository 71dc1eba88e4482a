"""Starts a fault proxy as a process: the embedded one, or a real Toxiproxy where there is one."""

import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ..addresses import HOST, ReservedPort
from .toxiproxy import Server

URL = "TOXIPROXY_URL"
"""Variable of the environment that names the API of a Toxiproxy that runs."""

BINARY = "toxiproxy-server"
"""Program that is run instead where it is on the PATH."""

START = 10.0
"""Seconds to answer: an embedded proxy takes 0.3 on an idle host."""

STOP = 2.0
"""Seconds to end once standard input has."""

ROOT = Path(__file__).resolve().parents[3]


class FaultProcess:
    """A process of fault proxies, and a client of its API.

    Args:
        popen: the process; None: somebody else's, whom nobody ends.
        server: its client.
    """

    def __init__(
        self,
        popen: subprocess.Popen[bytes] | None,
        server: Server,
        port: ReservedPort | None = None,
    ) -> None:
        """Take charge of it."""
        self._popen = popen
        self._port = port
        self.server = server

    def __repr__(self) -> str:
        """Show what it is."""
        return f"FaultProcess({self.server}, pid={self.pid})"

    @property
    def pid(self) -> int | None:
        """Of the process that was started; None: none was."""
        return self._popen.pid if self._popen else None

    def close(self) -> None:
        """End it."""
        self.server.close()
        if self._popen is not None:
            _end(self._popen)
        if self._port is not None:
            self._port.close()


def embedded(seed: int = 0) -> FaultProcess:
    """Start the embedded proxy; it ends with this process, whatever becomes of that.

    Raises:
        RuntimeError: it does not answer in time.
    """
    popen = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "conformance.harness.faults", f"--seed={seed}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert popen.stdout is not None, "it is a pipe"  # noqa: S101
    ready, _, _ = select.select([popen.stdout], [], [], START)
    line = popen.stdout.readline().decode().strip() if ready else ""
    if not line.startswith("listening at "):
        _end(popen)
        raise RuntimeError(f"the fault proxy does not start: it says {line!r}")
    return FaultProcess(popen, Server(line.removeprefix("listening at ")))


def real() -> FaultProcess | None:
    """Return a real Toxiproxy, which is started unless it runs; None: there is none.

    Raises:
        RuntimeError: it does not answer in time.
    """
    if url := os.environ.get(URL):
        return FaultProcess(None, Server(url))
    if (binary := shutil.which(BINARY)) is None:
        return None
    port = ReservedPort()
    popen = subprocess.Popen(  # noqa: S603 - found on the PATH by its name
        [binary, "-host", HOST, "-port", str(port.number)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    started = FaultProcess(popen, Server(f"http://{HOST}:{port.number}"), port)
    end = time.monotonic() + START
    while not started.server.running():
        if popen.poll() is not None or time.monotonic() > end:
            started.close()
            raise RuntimeError(f"{binary} does not start")
        time.sleep(0.01)
    return started


def _end(popen: subprocess.Popen[bytes]) -> None:
    """End a process: by the end of its input where it reads that, else by signals."""
    if popen.stdin is not None:
        popen.stdin.close()
    else:
        popen.terminate()
    with suppress(subprocess.TimeoutExpired):
        popen.wait(STOP)
    if popen.poll() is None:
        popen.kill()
        popen.wait(STOP)
    if popen.stdout is not None:
        popen.stdout.close()
