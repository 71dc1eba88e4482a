"""Chapter 26: descriptors run out, and connections that keep others out (FLT-8, FLT-9)."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from blackhole.identity.v1 import identity_pb2

from .harness.bounds import DEADLINE, until
from .harness.calls import Answer
from .harness.crowd import crowd, greeting, half_a_request
from .harness.descriptors import descriptors_of, no_more_files, open_files
from .harness.history import expect_elapsed
from .harness.identity import SERVICE, Identity
from .harness.judging import attach, did, expect, not_run
from .harness.nodes import Node, identity_of_file, peer_credentials
from .harness.service import ServedProcess
from .harness.storage import Storage, content

WAIT = 0.5
"""Seconds that callers wait at most while there is no descriptor, and for which there is none."""

NEWCOMERS = 16
"""Calls that are made meanwhile, each on a connection of its own."""

RECOVERS = 5.0
"""Seconds until new connections are served again (CONFORMANCE.md, FLT-8); seen: 2.7."""

REFUSED = ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL")
"""Codes of a write for which there was no descriptor."""

IDLE = 1000
"""Connections that are idle, and as many whose request is half sent (FLT-9)."""

ROOM = 4096
"""Open files that holding all of them takes, and some more."""

SERVED_WITHIN = 1.0
"""Seconds that a call may take meanwhile (CONFORMANCE.md, FLT-9)."""

ASIDE = 16
"""Descriptors more than before that are no leak (CONFORMANCE.md, FLT-9)."""


async def test_flt_8_identity_outlasts_its_descriptors(node: Node) -> None:
    """FLT-8: Without descriptors new callers are not served, others are; and all are after it."""
    service = await node.start()
    known = await service.create(properties={"name": "known"})
    dids = {known.did: {"name": "known"}}
    before = _who(service)

    async def write(number: int) -> str:
        name = {"name": f"create {number}"}
        request = identity_pb2.CreateDIDRequest(method="key", properties=name)
        answer = await service.call("CreateDID", request)
        if answer.response:
            dids[answer.response.did] = name
        return answer.code

    async def read() -> Any:
        return dict((await service.resolve(known.did)).properties)

    with no_more_files(service.process):
        newcomers = await _meanwhile(service, write, read, {"name": "known"})
    await _recovers(service)

    expect(_who(service), equals=before, what="(process, socket) afterwards")
    _expect_newcomers(newcomers)
    found = {one: dict((await service.resolve(one)).properties) for one in dids}
    expect(found, equals=dids, what="DIDs that were acknowledged")


@pytest.mark.also_profile("platform")
async def test_flt_8_storage_outlasts_its_descriptors(node: Node) -> None:
    """FLT-8: Without descriptors an upload is whole or refused, and leaves nothing if refused."""
    service = await node.serve(Storage)
    known = content("known", 100_000)
    await service.uploaded("known", known)
    codes: dict[str, str] = {}
    before = _who(service)

    async def write(number: int) -> str:
        file_id = f"upload-{number}"
        answer = await service.upload(file_id, content(file_id, 1 << 16))
        codes[file_id] = answer.code
        return answer.code

    async def read() -> Any:
        chunks, answer = await service.download("known")
        return b"".join(chunks) if answer.code == "OK" else answer.code

    with no_more_files(service.process):
        newcomers = await _meanwhile(service, write, read, known, *REFUSED)
    await _recovers(service)

    expect(_who(service), equals=before, what="(process, socket) afterwards")
    _expect_newcomers(newcomers)
    expect(await service.content("known") == known, equals=True, what="whether the file is whole")
    for file_id, code in codes.items():
        if code == "OK":
            whole = await service.content(file_id) == content(file_id, 1 << 16)
            expect(whole, equals=True, what=f"whether {file_id}, which was acknowledged, is whole")
        else:
            stat = await service.stat(file_id)
            expect(stat.code, equals="NOT_FOUND", what=f"StatFile of {file_id}, which was {code}")


async def _meanwhile(
    service: ServedProcess,
    write: Callable[[int], Awaitable[str]],
    read: Callable[[], Awaitable[Any]],
    known: Any,
    *refusals: str,
) -> list[Answer]:
    """Call on new connections and on the one that was there; return the former's answers.

    Raises:
        NonConformance: one of the latter is not answered, or not as it may be.
    """
    begin = time.monotonic()
    newcomers = [
        asyncio.create_task(service.check(channel=service.connect(), timeout=WAIT))
        for _ in range(NEWCOMERS)
    ]
    for number in itertools.count():
        code = await write(number)
        expect(code, one_of=["OK", *REFUSED], what=f"code of write {number} on the old connection")
        seen = await read()
        if seen not in refusals:
            same = seen == known
            expect(same, equals=True, what=f"whether read {number} tells what was written")
        if time.monotonic() > begin + WAIT:
            break
    answers = await asyncio.gather(*newcomers)
    did(f"meanwhile on new connections: {[answer.code for answer in answers]}")
    expect(service.process.alive, equals=True, what="whether the process lives")
    return answers


def _expect_newcomers(answers: list[Answer]) -> None:
    """Make sure that who found no descriptor was refused or waited.

    Raises:
        NonConformance: one ended otherwise.
        NotRun: all were served: the limit does not reach whoever accepts.
    """
    codes = [answer.code for answer in answers]
    if set(codes) == {"OK"}:
        not_run("the limit of open files does not reach whoever accepts connections")
    for code in codes:
        # One may find a descriptor that was just given back.
        allowed = ["OK", "UNAVAILABLE", "DEADLINE_EXCEEDED"]
        expect(code, one_of=allowed, what="code of a call on a new connection meanwhile")


async def _recovers(service: ServedProcess) -> None:
    """Wait until a new connection is served, and make sure that it still serves."""
    await service.hang_up(keep=service.channel)

    async def served() -> bool:
        channel = service.connect()
        answer = await service.check(channel=channel, timeout=WAIT)
        await channel.close()
        return answer.code == "OK"

    await until(served, bound=RECOVERS, what="a call on a new connection is answered OK")
    await service.lives()


def _who(service: ServedProcess) -> Any:
    """Return the process behind a service's socket, and which file that is."""
    return peer_credentials(service.path), identity_of_file(service.path)


@pytest.mark.transports("unix")
async def test_flt_9_a_crowd_keeps_nobody_out(node: Node) -> None:
    """FLT-9: Idle connections and half-sent requests by the thousand keep nobody out."""
    if (room := open_files()) < ROOM:
        not_run(f"holding {2 * IDLE} connections takes {ROOM} open files, this host allows {room}")
    service = await node.start()
    await service.lives()
    half = half_a_request(f"/{SERVICE}/CreateDID", _named("half"))
    before = descriptors_of(service.process)

    with crowd(service.path) as people:
        async with service.unchanged():
            await people.come(IDLE, greeting())
            await people.come(IDLE, half)
            did(f"{people}: the first half idle, the others with half a request")
            attach("crowd.txt", lambda: repr(people))
            # Whatever they said has been heard once this is answered.
            expect((await service.check()).code, equals="OK", what="Check")
            expect(people.gone(), equals=0, what="connections that were closed")
        await _served(service)
        expect(people.gone(), equals=0, what="connections that were closed meanwhile")

    await until(
        lambda: descriptors_of(service.process) <= before + ASIDE,
        bound=DEADLINE,
        every=0.05,
        what=f"descriptors are {before} again, give or take {ASIDE}",
        seen=lambda: descriptors_of(service.process),
    )
    await service.lives()


async def _served(service: Identity) -> None:
    """Make sure that callers are served in time, on new connections and on one that was there."""
    for number in range(20):
        new = number % 2 == 0
        channel = service.connect() if new else service.channel
        since = time.monotonic()
        answer = await service.call_on(channel, "CreateDID", _named("whole"))
        what = f"on {'a new connection' if new else 'one that was there'} beside the crowd"
        expect(answer.code, equals="OK", what=f"code of a call {what}")
        expect_elapsed(
            time.monotonic() - since,
            since=since,
            at_most=SERVED_WITHIN,
            what=f"time of a call {what}",
        )
    await service.hang_up(keep=service.channel)


def _named(name: str) -> identity_pb2.CreateDIDRequest:
    return identity_pb2.CreateDIDRequest(method="key", properties={"name": name})
