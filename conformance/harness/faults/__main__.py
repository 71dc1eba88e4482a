"""Run the embedded proxy until standard input ends, so that it never outlives who started it."""

import argparse
import asyncio
import sys

from aiohttp import web

from .api import Api
from .collection import Collection

HOST = "127.0.0.1"


async def serve(port: int, seed: int) -> None:
    """Serve the API, and say where in one line of standard output."""
    collection = Collection(seed)
    runner = web.AppRunner(Api(collection).application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, port)
    await site.start()
    try:
        print(f"listening at http://{HOST}:{runner.addresses[0][1]}", flush=True)  # noqa: T201
        await _ended()
    finally:
        await collection.close()
        await runner.cleanup()


async def _ended() -> None:
    """Wait until nobody holds the other end of standard input."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    class Input(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            del exc
            over.set()

    await loop.connect_read_pipe(Input, sys.stdin)
    await over.wait()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m conformance.harness.faults")
    parser.add_argument("--port", type=int, default=0, help="of the HTTP API; 0: any")
    parser.add_argument("--seed", type=int, default=0, help="of jitter, slices and flipped bits")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.seed))


if __name__ == "__main__":
    main()
