"""ServiceClient: calls to services by name (document: Service Client Wrapper).

One call passes, from the outside in: deadline, retry, circuit breaker, discovery,
connection pool, compression. Whatever goes wrong comes out as one `CallError`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from typing import Any, NoReturn, Protocol

import grpc

from ..config.client import Client as ClientSettings
from .breaker import CircuitBreaker, CircuitOpenError, Permit
from .calls import Metadata
from .dialling import Method
from .errors import DomainError, FailedPreconditionError, UnavailableError
from .hops import Hop
from .outgoing import (
    CallError,
    Outgoing,
    Response,
    ResponseStream,
    from_domain,
    from_grpc,
    overdue,
    send,
    unreadable,
    with_request_id,
)
from .pool import ConnectionPool, Entry
from .retry import RetryPolicy


class Resolved(Protocol):
    """Where a service is."""

    @property
    def address(self) -> str:
        """GRPC address."""


class Discovery(Protocol):
    """What the client needs of discovery."""

    @property
    def revision(self) -> int:
        """Another number whenever an answer may be another."""

    def discover(self, name: str, version: str = "") -> Awaitable[Resolved]:
        """Find a service, or raise a DomainError."""


class Token(Protocol):
    """Where the token of the process is."""

    def current(self) -> tuple[str, str]:
        """Return its entry in the metadata of a call."""


class ServiceClient:
    """The mesh client of a process.

    Args:
        settings: the client's.
        discovery: finds services.
        pool: connects to them.
        token: every call bears it (AUTH-7); None: a caller may give its own.
    """

    def __init__(
        self,
        settings: ClientSettings,
        discovery: Discovery,
        pool: ConnectionPool,
        token: Token | None = None,
    ) -> None:
        """Start with no service known."""
        self._token = token
        self._settings = settings
        self._discovery = discovery
        self._pool = pool
        self._retry = RetryPolicy(settings.retry)
        self._addresses: dict[tuple[str, str], str] = {}
        self._revision = -1
        self._closed = False
        self.breakers: dict[str, CircuitBreaker] = {}
        """By service name."""

    def __repr__(self) -> str:
        """Show pool and breakers."""
        return f"ServiceClient({self._pool}, {list(self.breakers.values())})"

    async def call(self, service: str, method: Method, *requests: Any, **how: Any) -> Response:
        """Call a method that has one answer.

        Args:
            service: its name.
            method: what is called.
            requests: one message, or those of the stream.
            how: `version`: semantic version asked for, empty: any. `timeout`: seconds; None:
                the configured `default_timeout` (ERR-8). `metadata`: the caller's own.

        Raises:
            CallError: however it failed.
        """
        outgoing = self._outgoing(service, method, requests, **how)
        while True:
            try:
                return await self._attempt(outgoing)
            except CallError as error:
                if (delay := self._delay(outgoing, error)) is None:
                    raise
            await asyncio.sleep(delay)

    def stream(self, service: str, method: Method, *requests: Any, **how: Any) -> ResponseStream:
        """Call a method that has a stream of answers; arguments and errors as of `call`."""
        outgoing = self._outgoing(service, method, requests, **how)
        return ResponseStream(outgoing, self._attempts(outgoing))

    async def close(self) -> None:
        """Close every connection; every later call is FAILED_PRECONDITION."""
        self._closed = True
        await self._pool.close()

    def _outgoing(  # noqa: PLR0913 - what a call is made of
        self,
        service: str,
        method: Method,
        requests: Sequence[Any],
        *,
        version: str = "",
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> Outgoing:
        if self._closed:
            raise from_domain(FailedPreconditionError("the client is closed"))
        seconds = self._settings.default_timeout if timeout is None else timeout
        return Outgoing(
            service=service,
            version=version,
            method=method,
            bodies=[method.serialize(request) for request in requests],
            deadline=time.monotonic() + seconds,
            metadata=with_request_id(metadata),
        )

    def _delay(self, outgoing: Outgoing, error: CallError) -> float | None:
        """Return the seconds to the next attempt, None when there is none."""
        if outgoing.received or isinstance(error.__cause__, CircuitOpenError):
            return None
        return self._retry.next_delay(outgoing.attempt, error.code, left=outgoing.left)

    async def _attempts(self, outgoing: Outgoing) -> AsyncGenerator[Any, None]:
        while True:
            try:
                async with aclosing(self._streamed(outgoing)) as messages:
                    async for message in messages:
                        yield message
            except CallError as error:
                if (delay := self._delay(outgoing, error)) is None:
                    raise
            else:
                return
            await asyncio.sleep(delay)

    async def _attempt(self, outgoing: Outgoing) -> Response:
        permit, entry = await self._admitted(outgoing)
        try:
            call = self._start(outgoing, entry)
            if (message := await call) is None:
                raise unreadable()  # noqa: TRY301 - ends like every other failure
        except BaseException as error:  # noqa: BLE001 - raised again as what it means
            _end(permit, error, outgoing.hop)
        finally:
            self._pool.release(entry)
        _done(permit, outgoing)
        return Response(message, call)

    async def _streamed(self, outgoing: Outgoing) -> AsyncGenerator[Any, None]:
        permit, entry = await self._admitted(outgoing)
        try:
            async for message in self._start(outgoing, entry):
                if message is None:
                    raise unreadable()  # noqa: TRY301 - as above
                outgoing.received = True
                yield message
        except BaseException as error:  # noqa: BLE001 - as above
            if outgoing.call is not None:
                outgoing.call.cancel()
            _end(permit, error, outgoing.hop)
        finally:
            self._pool.release(entry)
        _done(permit, outgoing)

    def _start(self, outgoing: Outgoing, entry: Entry) -> Any:
        """Begin the present attempt on a connection."""
        outgoing.hop = Hop(outgoing.method.path)
        method, timeout = outgoing.method, outgoing.left
        if not method.response_streaming:
            timeout = min(timeout, self._settings.circuit.timeout)
        token = self._token.current() if self._token else None
        make, metadata = entry.connection.callable(method), outgoing.labelled(token)
        if method.request_streaming:
            outgoing.call = make(timeout=timeout, metadata=metadata)
            outgoing.sending = asyncio.create_task(send(outgoing.call, outgoing.bodies))
        else:
            (body,) = outgoing.bodies
            compression = self._compression(body)
            outgoing.call = make(body, timeout=timeout, metadata=metadata, compression=compression)
        return outgoing.call

    def _compression(self, body: bytes) -> grpc.Compression | None:
        """Return gzip for a large message (CMP-6); a stream's are not: gRPC asks too early."""
        chosen = self._settings.compression
        large = len(body) >= chosen.min_bytes
        return grpc.Compression.Gzip if chosen.enabled and large else None

    async def _admitted(self, outgoing: Outgoing) -> tuple[Permit, Entry]:
        """Pass the breaker and take a connection, for the next attempt."""
        outgoing.attempt += 1
        try:
            permit = self._breaker(outgoing.service).admit()
        except CircuitOpenError as error:
            raise from_domain(error) from error
        try:
            if (entry := self._at_hand(outgoing)) is None:
                async with asyncio.timeout(outgoing.left):
                    entry = await self._connected(outgoing)
        except BaseException as error:  # noqa: BLE001 - raised again as what it means
            _end(permit, error)
        return permit, entry

    def _at_hand(self, outgoing: Outgoing) -> Entry | None:
        """Take a connection without waiting, if that can be."""
        if self._revision != self._discovery.revision:
            self._revision = self._discovery.revision
            self._addresses.clear()
        address = self._addresses.get((outgoing.service, outgoing.version))
        return self._pool.ready(address) if address else None

    async def _connected(self, outgoing: Outgoing) -> Entry:
        found = await self._discovery.discover(outgoing.service, outgoing.version)
        entry = await self._pool.acquire(found.address)
        self._addresses[outgoing.service, outgoing.version] = found.address
        return entry

    def _breaker(self, service: str) -> CircuitBreaker:
        if (found := self.breakers.get(service)) is None:
            found = self.breakers[service] = CircuitBreaker(service, self._settings.circuit)
        return found


def _done(permit: Permit, outgoing: Outgoing) -> None:
    """Report an attempt that succeeded."""
    permit.done("OK")
    if outgoing.hop is not None:
        outgoing.hop.done("OK")


def _end(permit: Permit, error: BaseException, hop: Hop | None = None) -> NoReturn:
    """Report a failed attempt to breaker and trace, and raise what it means for the caller."""
    failure = error
    if isinstance(error, grpc.aio.AioRpcError):
        failure = from_grpc(error)
    elif isinstance(error, DomainError):
        failure = from_domain(error)
    elif isinstance(error, TimeoutError):
        failure = overdue()
    elif isinstance(error, asyncio.CancelledError) and not _cancelled():
        failure = CallError("CANCELLED", "the client closed the connection")
    if hop is not None:
        hop.done(failure.code if isinstance(failure, CallError) else "CANCELLED")
    # Discovery's NOT_FOUND and INVALID_ARGUMENT say nothing of the server.
    nobody = isinstance(error, DomainError) and not isinstance(error, UnavailableError)
    if isinstance(failure, CallError) and not nobody:
        permit.done(failure.code)
    else:
        permit.abandon()
    try:
        if failure is error:
            raise error
        raise failure from error
    finally:
        # The traceback holds this frame. An error that the frame held would hold itself, and the
        # call behind it; and a call that anybody holds keeps its connection open (POOL-10).
        del error, failure


def _cancelled() -> bool:
    """Tell whether it was this task that somebody cancelled, and not a call of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
