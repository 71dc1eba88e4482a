"""Chapter 23: metrics (MET-1 to MET-6)."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from random import Random

import pytest

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.addresses import ReservedPort
from .harness.bounds import PROMPT, until
from .harness.calls import Channel
from .harness.events import Events
from .harness.health import HEALTH
from .harness.identity import SERVICE, Identity
from .harness.judging import did, expect, inconclusive
from .harness.ledger import Ledger
from .harness.metered import (
    ENDED_BY_CALLER,
    UNKNOWN,
    Key,
    counted,
    expect_counted,
    expect_in_flight,
    key,
    metered,
    scraper_of,
)
from .harness.nodes import Node
from .harness.raw import RawConnection, framed
from .harness.scraper import DURATION, IN_FLIGHT, OPENMETRICS, TEXT, TOTAL, Scrape, Scraper
from .harness.security import start_secured
from .harness.storage import SERVICE as STORAGE
from .harness.storage import Storage, Upload, new_id

BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
"""Seconds: `prometheus.DefBuckets`, as the document has it."""

LATE = 0.5
"""Seconds until the deadline of a call that is to meet it, once it has begun."""

HELD = 0.3
"""Seconds that a call is held whose duration is compared (MET-3)."""

MADE_UP = 40
"""Names that callers make up (MET-5)."""

TYPES = {TOTAL: "counter", DURATION: "histogram", IN_FLIGHT: "gauge"}

CREATED = "blackhole_dids_created_total"

MALFORMED = b"\xff\xff"

REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
LIST_SERVICES = b"\x3a\x01*"
"""A ServerReflectionRequest with `list_services`."""


@pytest.mark.parametrize("where", ["socket", "port"])
async def test_met_1_metrics_are_served_in_both_formats(node: Node, where: str) -> None:
    """MET-1: Text is served at the configured address, and OpenMetrics to who asks for it."""
    with closing(ReservedPort()) as port:
        place = f"127.0.0.1:{port.number}" if where == "port" else f"unix:{node.directory}/m"
        scraper = Scraper(place)
        service = await node.start(scraper.settings("identity"))
    await service.create()

    told = [await scraper.scrape(accept) for accept in ("", f"{OPENMETRICS};version=1.0.0")]

    for scrape, kind in zip(told, (TEXT, OPENMETRICS), strict=True):
        expect(scrape.content_type.split(";")[0], equals=kind, what="Content-Type")
        counts = scrape.by(TOTAL, "service", "method", "status")
        expect(counts.get((SERVICE, "CreateDID", "success")), equals=1.0, what=f"{TOTAL} in {kind}")
        types = {name: scrape.types.get(name.removesuffix("_total")) for name in TYPES}
        expect(types, equals=TYPES, what=f"types of the metrics in {kind}")


@pytest.mark.also_profile("platform")
async def test_met_1_each_service_serves_its_own(node: Node) -> None:
    """MET-1: Every service of the platform serves the metrics of its own calls."""
    for kind in (Events, Identity, Ledger, Storage):
        service, scraper = await metered(node, kind)
        before = await scraper.scrape()
        await service.lives()
        after = await scraper.scrape()

        services = {name for name, _, _ in counted(before, after)}
        expect(
            [name for name in services if f".{kind.NAME}." not in name],
            equals=[],
            what=f"services beside its own in the metrics of {kind.NAME}",
        )
        expect(len(services), at_least=1, what=f"services in the metrics of {kind.NAME}")


Operation = Callable[[Identity], Awaitable[Key]]


async def _creates(service: Identity) -> Key:
    answer = await service.call("CreateDID", pb.CreateDIDRequest(method="key"))
    return key(SERVICE, "CreateDID", answer.code)


async def _batches(service: Identity) -> Key:
    requests = [pb.CreateDIDRequest(method="key")] * 3
    answer = await service.call("BatchCreateDIDs", pb.BatchCreateDIDsRequest(requests=requests))
    return key(SERVICE, "BatchCreateDIDs", answer.code)


async def _creates_badly(service: Identity) -> Key:
    answer = await service.call("CreateDID", pb.CreateDIDRequest(method="?"))
    return key(SERVICE, "CreateDID", answer.code)


async def _sends_rubbish(service: Identity) -> Key:
    answer = await service.call("CreateDID", MALFORMED)
    return key(SERVICE, "CreateDID", answer.code)


async def _resolves_nobody(service: Identity) -> Key:
    answer = await service.call("ResolveDID", pb.ResolveDIDRequest(did="did:key:nobody"))
    return key(SERVICE, "ResolveDID", answer.code)


async def _calls_what_is_not_there(service: Identity) -> Key:
    answer = await service.channel.unary(f"/{SERVICE}/NoSuchMethod", b"", None)
    expect(answer.code, equals="UNIMPLEMENTED", what="code of a method that is not there")
    return UNKNOWN


async def _follows_and_leaves(service: Identity) -> Key:
    (await service.events()).cancel()
    return key(SERVICE, "StreamDIDEvents", ENDED_BY_CALLER)


async def _watches_and_leaves(service: Identity) -> Key:
    watching = await service.watch()
    await watching.next()
    watching.cancel()
    return key(HEALTH, "Watch", ENDED_BY_CALLER)


async def _follows_until_its_deadline(service: Identity) -> Key:
    began = time.monotonic()
    events = await service.events(timeout=LATE)
    if time.monotonic() - began >= LATE:
        inconclusive("the host stalled: a call met its deadline before it had begun")
    ended = await events.ended()
    expect(ended.code, equals="DEADLINE_EXCEEDED", what="code of a call that met its deadline")
    return key(SERVICE, "StreamDIDEvents", ENDED_BY_CALLER)


async def _reflects(service: Identity) -> Key:
    _, answer = await service.channel.messages(f"/{REFLECTION}/ServerReflectionInfo", LIST_SERVICES)
    # One of two versions is offered, or both (IDL-1).
    if answer.code == "UNIMPLEMENTED":
        return UNKNOWN
    return key(REFLECTION, "ServerReflectionInfo", answer.code)


OPERATIONS: tuple[Operation, ...] = (
    _creates,
    _batches,
    _creates_badly,
    _sends_rubbish,
    _resolves_nobody,
    _calls_what_is_not_there,
    _follows_and_leaves,
    _watches_and_leaves,
    _follows_until_its_deadline,
    _reflects,
)


async def test_met_2_every_call_is_counted_as_it_ended(node: Node, chance: Random) -> None:
    """MET-2: Calls of each kind and with each end are counted exactly, in a random mix."""
    service, scraper = await metered(node)
    mix = [one for one in OPERATIONS for _ in range(chance.randint(2, 8))]
    chance.shuffle(mix)
    before = await scraper.scrape()

    calls = Counter(await asyncio.gather(*(one(service) for one in mix)))

    did(f"made {len(mix)} calls at once: {dict(calls)}")
    await expect_counted(scraper, before, calls)


@pytest.mark.also_profile("platform")
async def test_met_2_streams_of_requests_are_counted(node: Node, chance: Random) -> None:
    """MET-2: Uploads are one call each, whether they end well, are refused, or break off."""
    service, scraper = await metered(node, Storage)
    whole, refused, broken = (chance.randint(1, 5) for _ in range(3))
    before = await scraper.scrape()

    async with RawConnection(service.address) as raw:
        for _ in range(broken):
            upload = await Upload.begin(raw)
            await upload.send(b"begins", new_id())
            # One that breaks off before it has begun is none.
            await expect_in_flight(scraper, {(STORAGE, "UploadFile"): 1.0}, "an upload has begun")
            await upload.cancel()
        for file_id in [new_id() for _ in range(whole)] + [""] * refused:
            upload = await Upload.begin(raw)
            await upload.send(b"whole", file_id)
            await upload.finish()
    did(f"uploaded {whole} files, {refused} without a name, and broke {broken} off")
    calls = Counter(
        {
            (STORAGE, "UploadFile", "success"): whole,
            (STORAGE, "UploadFile", "INVALID_ARGUMENT"): refused,
            (STORAGE, "UploadFile", ENDED_BY_CALLER): broken,
        }
    )
    await expect_counted(scraper, before, calls)


async def test_met_3_durations_agree_with_the_clock(node: Node) -> None:
    """MET-3: Durations have the default buckets, and are those that the suite sees."""
    service, scraper = await metered(node)
    began = time.monotonic()
    events = await service.events()
    there = time.monotonic()
    await until(lambda: time.monotonic() - there >= HELD, bound=HELD, what="the stream was held")
    least = time.monotonic() - there
    events.cancel()
    before = time.monotonic()
    for _ in range(10):
        await service.create()
    created = time.monotonic() - before

    held = {"service": SERVICE, "method": "StreamDIDEvents"}
    scrape = await _once(scraper, lambda told: told.value(f"{DURATION}_count", **held) == 1)
    most = time.monotonic() - began
    did(f"a stream was held for {least:.3f} to {most:.3f} s; 10 creates took {created:.3f} s")

    seconds = scrape.value(f"{DURATION}_sum", **held)
    expect(seconds, at_least=least, what="seconds of a stream that was held")
    expect(seconds, at_most=most, what="seconds of a stream that was held")
    buckets = _buckets(scrape, **held)
    expect(sorted(buckets), equals=[*BUCKETS, float("inf")], what="upper bounds of the buckets")
    expect(
        {bound: count for bound, count in buckets.items() if bound < least},
        equals={bound: 0.0 for bound in BUCKETS if bound < least},
        what="calls in buckets below the time that the stream was held",
    )
    expect(
        {bound: count for bound, count in buckets.items() if bound >= most},
        equals={bound: 1.0 for bound in (*BUCKETS, float("inf")) if bound >= most},
        what="calls in buckets above that time",
    )
    ours = {"service": SERVICE, "method": "CreateDID", "status": "success"}
    together = scrape.value(f"{DURATION}_sum", **ours)
    expect(together, at_most=created, what="seconds of ten creates, one after the other")
    expect(together > 0.0, equals=True, what=f"whether {together} s of ten creates are more than 0")
    for name in (TOTAL, f"{DURATION}_count"):
        expect(scrape.value(name, **ours), equals=10.0, what=f"{name} of ten creates")
    expect(_buckets(scrape, **ours)[float("inf")], equals=10.0, what="creates in the last bucket")


async def test_met_4_what_is_in_flight_is_known(node: Node) -> None:
    """MET-4: Calls in flight are counted while they are, and no longer, however they end."""
    service, scraper = await metered(node)
    follow = (SERVICE, "StreamDIDEvents")
    first, second = [await service.events() for _ in range(2)]
    own = service.connect()
    await service.events(channel=own)
    await expect_in_flight(scraper, {follow: 3.0}, "three streams stand")

    late = await service.events(timeout=LATE)
    await late.ended()
    await expect_in_flight(scraper, {follow: 3.0}, "a fourth met its deadline")
    first.cancel()
    await expect_in_flight(scraper, {follow: 2.0}, "one was cancelled")
    await own.close()
    await expect_in_flight(scraper, {follow: 1.0}, "the connection of one was closed")

    await asyncio.gather(*(one(service) for one in OPERATIONS * 3))
    async with RawConnection(service.address) as raw:
        stream = await raw.begin(f"/{SERVICE}/CreateDID")
        await raw.send(stream, framed(pb.CreateDIDRequest(method="key"))[:3])
        await raw.cancel(stream)
    did("made calls that succeed, fail, are cancelled and meet their deadline, and half a call")
    await expect_in_flight(scraper, {follow: 1.0}, "all other calls have ended")
    second.cancel()
    await expect_in_flight(scraper, {}, "all calls have ended")


async def test_met_5_made_up_names_make_no_series(node: Node) -> None:
    """MET-5: Methods that there are not share one label."""
    service, scraper = await metered(node)
    await _calls_made_up_names(service.channel, scraper, "UNIMPLEMENTED")


@pytest.mark.also_profile("security")
async def test_met_5_refused_names_make_no_series(node: Node) -> None:
    """MET-5: Nor do those of who is refused before anybody looks whether there is such a method."""
    scraper = scraper_of(node)
    secured = await start_secured(node, scraper.settings("identity"))
    stranger = secured.service.connect(metadata=())
    await _calls_made_up_names(stranger, scraper, "UNAUTHENTICATED")


async def _calls_made_up_names(channel: Channel, scraper: Scraper, code: str) -> None:
    names = [
        name
        for number in range(MADE_UP)
        for name in (
            f"/made.up.Service{number}/Call",
            f"/{SERVICE}/Made{number}",
            f'/a"{{b}}\\{number}/c,d="e"',
        )
    ]
    empty = await scraper.scrape()
    await channel.unary(f"/{SERVICE}/NoSuchMethod", b"", None)
    before = await expect_counted(scraper, empty, {(*UNKNOWN[:2], code): 1})

    answers = await asyncio.gather(*(channel.unary(name, b"", None) for name in names))

    did(f"called {len(names)} methods that there are not")
    expect({answer.code for answer in answers}, equals={code}, what="codes of those calls")
    after = await expect_counted(scraper, before, {(*UNKNOWN[:2], code): len(names)})
    for name in (IN_FLIGHT, TOTAL):
        labels = [
            {pair for pair in scrape.by(name, "service", "method") if pair[0] != HEALTH}
            for scrape in (before, after)
        ]
        expect(labels[1], equals=labels[0], what=f"services and methods of {name}, as before")


async def test_met_6_created_dids_are_counted(node: Node) -> None:
    """MET-6: Each DID that was created counts, one of a batch too, and nothing else does."""
    service, scraper = await metered(node)
    before = (await scraper.scrape()).value(CREATED)

    created = [await service.create() for _ in range(3)]
    await service.batch([pb.CreateDIDRequest(method="key")] * 4)
    await _creates_badly(service)
    await service.update(created[0].did, {"a": "b"})
    await service.delete(created[1].did)

    after = await scraper.scrape()
    expect(after.value(CREATED) - before, equals=7.0, what=f"{CREATED}: three and a batch of four")
    expect(after.types.get(CREATED.removesuffix("_total")), equals="counter", what="its type")


async def _once(scraper: Scraper, fact: Callable[[Scrape], bool]) -> Scrape:
    """Scrape until a fact holds, and return the scrape."""

    async def holds() -> Scrape | None:
        scrape = await scraper.scrape()
        return scrape if fact(scrape) else None

    found: Scrape = await until(holds, bound=PROMPT, what="the call that ended is told", every=0.02)
    return found


def _buckets(scrape: Scrape, **labels: str) -> dict[float, float]:
    """Return how many calls there are up to each bound."""
    wanted = labels.items()
    return {
        float(dict(found)["le"]): value
        for found, value in scrape.samples.get(f"{DURATION}_bucket", {}).items()
        if wanted <= dict(found).items()
    }
