"""The driver under judgement: the implementation's client role, told what to call.

What it says of itself is never judged but for the outcome that its caller sees; what it did,
the peers tell.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import Message

from blackhole.conformance.v1 import driver_pb2 as pb

from . import bounds
from .bounds import until
from .calls import Answer, Channel, Metadata
from .judging import NonConformance, expect, inconclusive
from .outcomes import Outcome, call_request, outcome_of
from .peer import Peer
from .processes import Process
from .registry import Registry
from .service import ServedProcess, seconds

SERVICE = "blackhole.conformance.v1.Driver"

_METHODS = pb.DESCRIPTOR.services_by_name["Driver"].methods_by_name
_numbers = itertools.count(1)


class Driver(ServedProcess):
    """One running driver, and a channel of the suite's to it.

    Args:
        path: its socket.
        process: the process, if the suite started it.
        grace: its `grace_period` in seconds.
        settings: the configuration it was started with, as ProtoJSON.
    """

    NAME = "driver"

    def __init__(
        self, path: Path, process: Process | None, grace: float, settings: Mapping[str, Any]
    ) -> None:
        """Make a channel; nothing is sent before the first call."""
        super().__init__(path, process, grace)
        self.settings = settings
        self._begun: list[asyncio.Task[Outcome]] = []

    async def hang_up(self, *, keep: Channel | None = None) -> None:
        """Cancel every call that was begun, and close every channel but one."""
        begun, self._begun = self._begun, []
        for call in begun:
            call.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        await super().hang_up(keep=keep)

    async def ask(self, method: str, request: Message, timeout: float = bounds.DEADLINE) -> Answer:
        """Call a unary method of Driver by name, and return its own answer."""
        response = message_factory.GetMessageClass(_METHODS[method].output_type)
        return await self.channel.unary(f"/{SERVICE}/{method}", request, response, timeout=timeout)

    async def call(  # noqa: PLR0913 - a call is described by these
        self,
        service: str,
        *payloads: bytes,
        method: str = "UNARY",
        version: str = "",
        timeout: float | None = None,
        metadata: Metadata = (),
        cancel_after: float | None = None,
    ) -> Outcome:
        """Let the driver call a method of Probe, and return how that call ended.

        Args:
            service: whom to call, as discovery knows it.
            payloads: one a message; none on a method that takes one message: `ping`.
            method: UNARY, SERVER_STREAM, CLIENT_STREAM or BIDI_STREAM.
            version: the version asked for; empty: any.
            timeout: deadline in seconds; None: the caller gives none.
            metadata: entries that the caller gives.
            cancel_after: seconds after which the driver is to cancel the call.

        Raises:
            NonConformance: Driver.Call itself did not answer OK.
        """
        request = call_request(
            service, *payloads, method=method, version=version, timeout=timeout,
            metadata=metadata, cancel_after=cancel_after,
        )  # fmt: skip
        return await self._outcome("Call", request, timeout)

    def begin(self, service: str, *payloads: bytes, **how: Any) -> asyncio.Task[Outcome]:
        """Let the driver call like `call`, and do not wait; ends with the test at the latest."""
        task = asyncio.create_task(self.call(service, *payloads, **how))
        self._begun.append(task)
        return task

    async def submit(self, service: str, item: bytes) -> Outcome:
        """Add an item to the batcher of a service, and return its result as the one payload.

        Raises:
            NonConformance: Driver.Submit itself did not answer OK.
        """
        request = pb.SubmitRequest(service=service, item=item)
        return await self._outcome("Submit", request, None)

    def submits(self, service: str, *items: bytes) -> list[asyncio.Task[Outcome]]:
        """Add items like `submit`, all at once, and do not wait for their results."""
        tasks = [asyncio.create_task(self.submit(service, item)) for item in items]
        self._begun += tasks
        return tasks

    async def resolve(self, service: str, version: str = "") -> Answer:
        """Ask discovery for an address; the answer's own status is the refusal."""
        return await self.ask("Resolve", pb.ResolveRequest(service=service, version=version))

    async def where(self, service: str, version: str = "") -> tuple[str, str, str]:
        """Ask discovery like `resolve`; return code, address and version; empty in a refusal."""
        answer = await self.resolve(service, version)
        found = answer.response or pb.ResolveResponse()
        return answer.code, found.address, found.version

    async def finds(self, service: str, version: str = "", address: str = "") -> None:
        """Wait until discovery knows a service whose socket was just made.

        Args:
            service: its name.
            version: as asked for.
            address: where it is, if another one of that name could be taken for it.

        Raises:
            NonConformance: it does not within `registry.rescan_interval`.
        """

        async def found() -> bool:
            code, there, _ = await self.where(service, version)
            return there in ("", address or there) and code != "NOT_FOUND"

        interval = seconds(self.settings.get("registry", {}).get("rescan_interval", "1s"))
        await until(found, bound=interval, what=f"discovery finds {service} {version}".rstrip())

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Registry]:
        """Follow the registry's list of endpoints for as long as the context lasts."""
        stream = await self.channel.subscribe(
            f"/{SERVICE}/Watch", pb.WatchRequest(), pb.WatchResponse
        )
        async with Registry(stream) as registry:
            yield registry

    async def report(self) -> Any:
        """Return pool and breakers as the client sees them: for stories, never for verdicts."""
        return self._ok("Report", await self.ask("Report", pb.ReportRequest()))

    async def close(self) -> None:
        """Close the mesh client: batches are flushed, connections closed.

        Raises:
            NonConformance: Driver.Close did not answer OK.
        """
        timeout = self._default_timeout + bounds.DEADLINE
        self._ok("Close", await self.ask("Close", pb.CloseRequest(), timeout))

    async def lives(self) -> None:
        """Make sure that it still serves: a call reaches a peer that was just made.

        Raises:
            NonConformance: it does not.
        """
        name, begin = f"alive{next(_numbers)}", time.monotonic()
        async with Peer(self.path.with_name(f"{name}.sock")) as peer:
            await self.finds(name)
            # Bounded by its own deadline alone, whatever the driver is configured to.
            outcome = await self.call(
                name, b"still serves", method="SERVER_STREAM", timeout=bounds.DEADLINE
            )
            seen = [arrival.payloads for arrival in peer.arrivals]
        kept = bounds.kept_waiting(begin)
        if outcome.code == "UNAVAILABLE" and kept > self._connect_timeout:
            inconclusive(
                f"no connection came about in {self._connect_timeout:g} s, but suite and"
                f" implementation waited {kept:.1f} s for a CPU"
            )
        expect(
            (outcome.code, outcome.payloads, seen[-1:]),
            equals=("OK", (b"still serves",), [(b"still serves",)]),
            what="still serves: outcome of a call, and what the peer got",
        )

    @property
    def _connect_timeout(self) -> float:
        return seconds(self.settings.get("pool", {}).get("connect_timeout", "5s"))

    @property
    def _default_timeout(self) -> float:
        return seconds(self.settings.get("default_timeout", "30s"))

    async def _outcome(self, method: str, request: Message, timeout: float | None) -> Outcome:
        since = time.monotonic()
        bound = (self._default_timeout if timeout is None else timeout) + bounds.DEADLINE
        answer = await self.ask(method, request, bound)
        if answer.code != "OK":
            raise NonConformance(
                what=f"Driver.{method} itself, whatever became of the call",
                expected="OK",
                observed=answer,
            )
        return outcome_of(answer, since)
