"""A service that behaves as it is told: `actor.py NAME --config FILE [--version V]`.

Beside FILE, `NAME.how` (or `NAME@V.how`, where there is one) holds words that say how: `exits`,
`nowhere` (never listens), `deaf` (to SIGTERM), `strays` (leaves a child that holds its socket too),
`hangs` and `refuses` (when it is asked for its health; these two are read each time). Each start
and each SIGTERM is a line of `diary`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

LONG = 60.0
"""Seconds: longer than any test."""


def words(root: Path, *names: str) -> list[str]:
    """Return how it shall behave."""
    for name in names:
        if (file := root / f"{name}.how").exists():
            return file.read_text().split()
    return []


def note(root: Path, *line: object) -> None:
    """Append a line to the diary."""
    with (root / "diary").open("a") as diary:
        diary.write(" ".join(map(str, line)) + "\n")


def serve(root: Path, path: Path, *names: str) -> Any:
    """Answer health checks for as long as what is returned is kept."""
    import grpc  # noqa: PLC0415 - one that exits does so at once
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    class Health(health_pb2_grpc.HealthServicer):
        def Check(self, _request: Any, _context: Any) -> Any:  # noqa: N802
            how = words(root, *names)
            if "hangs" in how:
                time.sleep(LONG)
            return health_pb2.HealthCheckResponse(status=2 if "refuses" in how else 1)

    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    path.unlink(missing_ok=True)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    return server


def main() -> None:
    """Do what the words say."""
    name, config = sys.argv[1], Path(sys.argv[3])
    label = "@".join([name, *sys.argv[5:]])
    root, how = config.parent, words(config.parent, label, name)
    note(root, label, "starts", os.getpid())
    if "exits" in how:
        sys.exit(3)
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    path = Path(json.loads(config.read_text())["socket_dir"]) / f"{label}.sock"
    path.parent.mkdir(exist_ok=True)
    if "strays" in how:
        stray = subprocess.Popen([sys.executable, "-S", "-c", f"import time; time.sleep({LONG})"])
        note(root, label, "strays", stray.pid)
    server = None if "nowhere" in how else serve(root, path, label, name)
    while signal.sigwait(stop) and "deaf" in how:
        pass
    del server
    note(root, label, "stops", os.getpid())
    path.unlink(missing_ok=True)
    os._exit(0)


if __name__ == "__main__":
    main()
