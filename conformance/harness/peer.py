"""The peer: the server that the suite plays, scripted by a test and recorded by itself.

It serves `blackhole.conformance.v1.Probe`, `grpc.health.v1.Health` and ResolveDID of the identity
service at a Unix socket or at a port of 127.0.0.1. What it answers, a test says (`replies`); what
reached it, a test reads (`recorded`, `arrivals`).
"""

import asyncio
import itertools
import ssl
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from grpc_health.v1 import health_pb2

from . import bounds
from .answering import Answering, answer
from .arrivals import METHODS, Arrival
from .bounds import until
from .health import SERVING
from .judging import attach, did
from .listening import Listener, inode, listen_at_path, listen_at_port
from .peer_connection import PeerConnection, Stream
from .pki import Credentials
from .recorded import Recorded
from .replies import Reply, echo, fails, raw_message

_numbers = itertools.count(1)
"""Of the peers of this process, so that each has evidence of its own."""


class Peer(Recorded):
    """A scripted server, and what it saw.

    Use as a context manager, or `open` and `close` it.

    Args:
        at: path of a Unix socket, or a port of 127.0.0.1; 0 chooses one.
        name: what to call it in stories; default: from `at`.
        greeting: `normal`; `silent`: accepts and never writes; `closing`: accepts and closes at
            once; bytes: writes these in place of HTTP/2, and nothing after them.
        greet_after: seconds before anything is written on a new connection.
        tls: the certificate that it shows, and the authority that clients' must be of; only at a
            port. None: it speaks plaintext.
    """

    def __init__(
        self,
        at: Path | int = 0,
        *,
        name: str = "",
        greeting: str | bytes = "normal",
        greet_after: float = 0.0,
        tls: Credentials | None = None,
    ) -> None:
        """Make a peer that answers every call with `echo()`; it does not listen yet."""
        super().__init__(name or (at.name.removesuffix(".sock") if isinstance(at, Path) else "tcp"))
        self._at = at
        self._greeting = greeting
        self._greet_after = greet_after
        self._tls = tls
        self._listener: Listener | None = None
        self._inode: int | None = None
        self._script: deque[Reply] = deque()
        self._held: deque[tuple[Arrival, asyncio.Event]] = deque()
        self._health: int | Reply = SERVING
        self._health_changed = asyncio.Event()
        self._problems: list[BaseException] = []
        self.otherwise = echo()
        """What answers a call for which `answers` left nothing."""

    @property
    def address(self) -> str:
        """Where it listens, as discovery tells it: `unix:///path` or `127.0.0.1:port`."""
        return f"127.0.0.1:{self._at}" if isinstance(self._at, int) else f"unix://{self._at}"

    @property
    def port(self) -> int:
        """The port that it listens at; chosen once it is open."""
        assert isinstance(self._at, int), "a peer at a Unix socket has no port"  # noqa: S101
        return self._at

    @property
    def path(self) -> Path:
        """The socket that it listens at."""
        assert isinstance(self._at, Path), "a peer at a port has no path"  # noqa: S101
        return self._at

    @property
    def health(self) -> int | Reply:
        """What Check answers, and Watch sends: a status, or the reply to either."""
        return self._health

    @health.setter
    def health(self, status: int | Reply) -> None:
        did(f"{self.name}: health is {status} from now on")
        self._health = status
        self._health_changed.set()
        self._health_changed = asyncio.Event()

    async def open(self) -> None:
        """Listen, from one moment to the next: the socket's path appears when it accepts.

        Raises:
            OSError: it cannot listen there.
        """
        if isinstance(self._at, int):
            listener = listen_at_port(self._at)
            self._at = listener.getsockname()[1]
        else:
            listener = listen_at_path(self._at)
            self._inode = inode(self._at)
        context = self._tls.context(ssl.PROTOCOL_TLS_SERVER) if self._tls else None
        self._listener = Listener(listener, self._protocol, context)
        did(f"{self.name}: a peer listens at {self.address}")
        attach(f"peer{next(_numbers)}-{self.name}.txt", self.story)

    async def close(self, *, leave: bool = False) -> None:
        """Stop listening, and close every connection.

        Args:
            leave: whether the socket's file stays, as after a process that was killed.

        Raises:
            RuntimeError: an answer broke, which is an error of the suite's own.
        """
        if self._listener is not None:
            did(f"{self.name}: the peer goes")
            listener, self._listener = self._listener, None
            if isinstance(self._at, Path) and not leave and self._inode == inode(self._at):
                self._at.unlink()
            await listener.close()
            await self._drop_all()
        if self._problems:
            raise RuntimeError(f"the peer {self.name} broke") from self._problems.pop()

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    def answers(self, *replies: Reply) -> None:
        """Answer the next calls with these, one each, in the order of their arrival."""
        did(f"{self.name}: the next answers are {', '.join(map(repr, replies))}")
        self._script.extend(replies)

    def release(self, count: int | None = None) -> None:
        """Let go of calls that are `held`: the `count` oldest, or all that arrived so far."""
        did(f"{self.name}: released {'all' if count is None else count}")
        waiting = [gate for arrival, gate in self._held if not arrival.over and not gate.is_set()]
        for gate in waiting[:count]:
            gate.set()

    def greets(self, greeting: str | bytes, *, after: float = 0.0) -> None:
        """Greet new connections so from now on; the arguments are as of the peer itself."""
        did(f"{self.name}: greets new connections {greeting!r}, {after:g} s after they are made")
        self._greeting, self._greet_after = greeting, after

    def greet(self) -> None:
        """Greet every connection that waits for it, and new ones at once."""
        did(f"{self.name}: greets whoever waits")
        self._greet_after = 0.0
        for served in self._served:
            served.greet()

    def mute(self) -> None:
        """Read, but write nothing more on any connection, not even acknowledgements of pings."""
        did(f"{self.name}: mute from now on")
        self._greeting = "silent"
        for served in self._served:
            served.muted = True

    async def end_connections(self) -> None:
        """End every connection as a server that stops does, and wait until the client knows.

        Raises:
            NonConformance: the client does not close its side of one.
        """
        did(f"{self.name}: ends every connection")
        for served in self._served:
            served.end()
        await until(
            lambda: all(served.lost.is_set() for served in self._served),
            bound=bounds.PROMPT,
            what=f"the client closes its side of connections that {self.name} ended",
            seen=lambda: self.all_connections,
        )

    async def drop_connections(self) -> None:
        """Close every connection at once, and wait until they are closed."""
        did(f"{self.name}: closes every connection")
        await self._drop_all()

    def _protocol(self) -> PeerConnection:
        return PeerConnection(
            self._accepted,
            self._serve,
            self._problems.append,
            greeting=self._greeting,
            greet_after=self._greet_after,
        )

    def _serve(self, stream: Stream) -> Coroutine[Any, Any, None]:
        arrival = stream.arrival
        if arrival.path not in METHODS:
            return answer(stream, fails("UNIMPLEMENTED", f"the suite plays no {arrival.path}"))
        if not METHODS[arrival.path].arrives:
            self.checks.append(arrival)
            return self._watched(stream) if arrival.method == "Watch" else self._checked(stream)
        self.arrivals.append(arrival)
        reply = self._script.popleft() if self._script else self.otherwise
        if not reply.awaits_release:
            return answer(stream, reply)
        gate = asyncio.Event()
        self._held.append((arrival, gate))
        return answer(stream, reply, gate.wait)

    async def _checked(self, stream: Stream) -> None:
        health = self._health
        await answer(stream, health if isinstance(health, Reply) else _says(health))

    async def _watched(self, stream: Stream) -> None:
        answering = Answering(stream)
        await stream.greeted()
        told: int | None = None
        while True:
            health, changed = self._health, self._health_changed
            if isinstance(health, Reply):
                await answering.perform_all(health)
                return
            if health != told:
                told = health
                await answering.perform(_says(health).steps[0])
                stream.flush()
            await changed.wait()


def _says(health: int) -> Reply:
    """Return the answer of Check that says a status."""
    response = health_pb2.HealthCheckResponse(status=health)
    return raw_message(response.SerializeToString())
