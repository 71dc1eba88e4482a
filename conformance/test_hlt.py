"""Chapter 12: health (HLT-1 to HLT-6)."""

import asyncio
import statistics
import time

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.bounds import JITTER, until
from .harness.identity import NOT_SERVING, SERVICE_UNKNOWN, SERVING, Identity
from .harness.judging import did, expect
from .harness.nodes import Node

INTERVAL = 0.2
"""Seconds that the suite configures as `health.watch_interval`."""

NAMES = ("", "identity")

LOADERS = 32
CHECKS = 50
MEDIAN = 0.1
"""Seconds that Check may take at the median (CONFORMANCE.md, HLT-6)."""


async def test_hlt_1_check_answers_for_both_names(identity: Identity) -> None:
    """HLT-1: Check says SERVING for the empty name and for the service's own."""
    statuses = {name: await _status(identity, name) for name in NAMES}

    expect(statuses, equals=dict.fromkeys(NAMES, ("OK", SERVING)), what="Check, by name")


async def test_hlt_2_check_of_another_name_is_service_unknown(identity: Identity) -> None:
    """HLT-2: Check of another name is an OK answer that says SERVICE_UNKNOWN."""
    others = ("storage", "Identity", "x" * 1000)

    statuses = {name: await _status(identity, name) for name in others}

    expect(
        statuses, equals=dict.fromkeys(others, ("OK", SERVICE_UNKNOWN)), what="Check of other names"
    )
    expect(await _status(identity, "identity"), equals=("OK", SERVING), what="Check of its own")


async def test_hlt_3_watch_tells_each_change_and_nothing_else(node: Node) -> None:
    """HLT-3: Watch sends the present status at once, then each change, and nothing between."""
    service = await node.start()
    await service.lives()
    watch = await service.watch()

    first = await watch.next(INTERVAL)
    node.gone()
    second = await watch.next(2 * INTERVAL)
    node.back()
    third = await watch.next(2 * INTERVAL)
    silent = await watch.silent(3 * INTERVAL)
    watch.cancel()

    expect(
        [message.status for message in (first, second, third)],
        equals=[SERVING, NOT_SERVING, SERVING],
        what="what the Watch said: at once, store gone, store back",
    )
    expect(silent, equals=True, what="nothing more for three intervals, and the stream open")


async def test_hlt_4_watch_of_an_unknown_name_stays_open(identity: Identity) -> None:
    """HLT-4: Watch of an unknown name says SERVICE_UNKNOWN once, and stays open."""
    control = await identity.watch()
    expect((await control.next()).status, equals=SERVING, what="Watch of the service's own name")
    control.cancel()

    watch = await identity.watch("no-such-service")
    first = await watch.next()
    silent = await watch.silent(3 * INTERVAL)
    watch.cancel()
    ended = await watch.ended()

    expect(first.status, equals=SERVICE_UNKNOWN, what="Watch of an unknown name")
    expect(silent, equals=True, what="nothing more for three intervals, and the stream open")
    expect(ended.code, equals="CANCELLED", what="the stream, once the caller cancelled it")


async def test_hlt_5_health_follows_the_store(node: Node) -> None:
    """HLT-5: A service whose store is gone turns NOT_SERVING, and comes back with it."""
    service = await node.start()
    created = await service.create()
    pid = service.process.pid

    node.gone()
    await _becomes(service, NOT_SERVING, "NOT_SERVING once the store is gone")
    node.back()
    await _becomes(service, SERVING, "SERVING once the store is back")

    expect((await service.resolve(created.did)).did, equals=created.did, what="the DID before")
    await service.create()
    expect((service.process.alive, service.process.pid), equals=(True, pid), what="the process")


async def test_hlt_6_check_stays_quick_under_load(node: Node) -> None:
    """HLT-6: Check takes at most 100 ms at the median while 32 callers create DIDs."""
    service = await node.start()
    await service.lives()
    probe = service.connect()
    await service.check(channel=probe)
    stop = asyncio.Event()
    created = 0

    async def load() -> set[str]:
        nonlocal created
        codes: set[str] = set()
        while not stop.is_set():
            answer = await service.call("CreateDID", pb.CreateDIDRequest(method="key"))
            codes.add(answer.code)
            created += 1
        return codes

    loaders = [asyncio.create_task(load()) for _ in range(LOADERS)]
    await until(lambda: created >= LOADERS, bound=5.0, what="the load runs")
    times, codes = [], set()
    for _ in range(CHECKS):
        before = time.monotonic()
        answer = await service.check(channel=probe)
        times.append(time.monotonic() - before)
        codes.add((answer.code, answer.response and answer.response.status))
    stop.set()
    seen = set[str]().union(*await asyncio.gather(*loaders))
    did(f"{LOADERS} callers created {created} DIDs during {CHECKS} Checks")

    expect(codes, equals={("OK", SERVING)}, what="every Check under load")
    expect(seen, equals={"OK"}, what="codes of the load's own calls")
    expect(
        statistics.median(times), at_most=MEDIAN + JITTER.typical, what="median seconds of a Check"
    )


async def _status(service: Identity, name: str) -> tuple[str, int]:
    answer = await service.check(name)
    return answer.code, answer.response.status if answer.response is not None else -1


async def _becomes(service: Identity, status: int, what: str) -> None:
    for name in NAMES:

        async def said(name: str = name) -> bool:
            return await _status(service, name) == ("OK", status)

        await until(said, bound=2 * INTERVAL, what=f"{what} ({name or 'the empty name'})")
