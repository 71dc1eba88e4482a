"""Chapter 26: what comes slowly is the same, and what does not come is never whole (FLT-4, 5)."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from .harness.bounds import DEADLINE
from .harness.cuts import cuts
from .harness.driver import Driver
from .harness.fixtures_faults import Links
from .harness.history import expect_elapsed
from .harness.judging import attach, did, expect
from .harness.kinds import KINDS
from .harness.outcomes import Outcome
from .harness.proxied import STREAMS as WAYS
from .harness.proxied import FaultProxy, Link
from .harness.raw import RawConnection
from .harness.replies import ok
from .harness.storage import Storage, Upload, content, new_id, told

RATE = 2000
"""KB a second of a way that is narrow."""

MESSAGES = tuple(content(f"message {size}", size) for size in (0, 1, 5000, 55_000))
"""Payloads of a stream."""

ONE = content("one", 60_000)
"""The payload of a call with one."""

CHUNKS = tuple(content(f"chunk {size}", size) for size in (1, 70_000, 0, 130_000))
"""Chunks of a file on a narrow way."""

CUT = (b"first", b"second" * 20, b"third")
"""Payloads of calls that are cut."""

PIECES = (content("piece 1", 300), content("piece 2", 300), content("piece 3", 300))
"""Chunks of files whose uploads are cut."""

LAST = 9
"""Bytes of the frame that ends a request: nothing but its header."""

ROOM = 16
"""Bytes by which handshakes of TLS differ in length: signatures do."""

PATIENCE = 2.0
"""Seconds of the deadline of calls that are cut: each ends long before it, but for a few."""

FEW = 20
"""Cuts of which one may end a call at its deadline alone (CONFORMANCE.md, FLT-5): one in some
thousand did, and why is not known."""

BEYOND = 1 << 20
"""Bytes that no exchange here comes to."""

CUT_KINDS = ("UNARY", "SERVER_STREAM", "CLIENT_STREAM")
"""Kinds of call that are cut: an answer of one message, an answer and a request of several."""


async def test_flt_4_a_bad_way_changes_nothing_of_what_passes(caller: Driver, link: Link) -> None:
    """FLT-4: On a narrow, slicing and trembling way all four kinds of call come through whole."""
    control = await _exchanged(caller, link)

    async with AsyncExitStack() as stack:
        for kind, attributes in _bad().items():
            await stack.enter_async_context(link.proxy.toxic(kind, *WAYS, **attributes))
        found = await _exchanged(caller, link)

    whole = {kind: ("OK", _sent(kind), _back(kind)) for kind in KINDS}
    expect(_compared(control), equals=whole, what="code, what arrived and what came back, control")
    expect(_compared(found), equals=whole, what="code, what arrived and what came back")
    for kind, (outcome, _) in found.items():
        expect_elapsed(
            outcome.elapsed, since=outcome.since, at_least=len(ONE) / RATE / 1000,
            what=f"time of {len(ONE)} bytes at {RATE} KB a second, {kind}",
        )  # fmt: skip


@pytest.mark.also_profile("platform")
@pytest.mark.transports("unix", "tcp")
async def test_flt_4_a_file_on_a_bad_way_is_the_same(
    proxied_storage: tuple[Storage, FaultProxy],
) -> None:
    """FLT-4: A file is the same, however narrow and trembling its way there and back is."""
    storage, proxy = proxied_storage
    whole = b"".join(CHUNKS)
    control, file_id = new_id(), new_id()
    await storage.uploaded(control, *CHUNKS)
    expect(told(await storage.content(control)), equals=told(whole), what="the file of the control")

    async with AsyncExitStack() as stack:
        for kind, attributes in _bad().items():
            await stack.enter_async_context(proxy.toxic(kind, *WAYS, **attributes))
        answer = await storage.upload(file_id, *CHUNKS)
        back = await storage.content(file_id)

    response = answer.response
    expect(answer.code, equals="OK", what="code of the upload")
    expect((response.size, response.sha256.hex()), equals=told(whole), what="size and SHA-256 told")
    expect(answer.elapsed, at_least=len(whole) / RATE / 1000, what="seconds of the upload")
    expect(told(back), equals=told(whole), what="size and SHA-256 of the file that came back")
    for each in (control, file_id):
        await storage.delete(each)


async def test_flt_5_a_cut_exchange_is_an_error_or_whole(
    caller: Driver, links: Links, request: pytest.FixtureRequest
) -> None:
    """FLT-5: Wherever a connection ends, a call is UNAVAILABLE, or OK with all there was."""
    every = request.config.getoption("every_cut")
    ways = {kind: await links() for kind in CUT_KINDS}

    results = await asyncio.gather(
        *(_all_cuts(caller, link, kind, every=every) for kind, link in ways.items())
    )

    every_one = {
        f"{kind}, {way} cut after {count} bytes": (kind, outcome, arrived)
        for kind, result in zip(ways, results, strict=True)
        for (way, count), (outcome, arrived) in result.items()
    }
    codes = Counter(outcome.code for _, outcome, _ in every_one.values())
    did(f"{len(every_one)} exchanges were cut: {codes}")
    wrong = {name: one[1] for name, one in every_one.items() if not _clean(*one)}
    expect(wrong, equals={}, what="calls that are neither UNAVAILABLE nor whole")
    expect(
        codes["UNAVAILABLE"], at_least=len(every_one) // 3,
        what=f"calls of {len(every_one)} that a cut made fail",
    )  # fmt: skip
    expect(
        codes["DEADLINE_EXCEEDED"], at_most=len(every_one) // FEW,
        what=f"calls of {len(every_one)} that never arrived, and ended at their deadline",
    )  # fmt: skip


@pytest.mark.also_profile("platform")
@pytest.mark.transports("unix", "tcp")
async def test_flt_5_a_cut_upload_is_not_stored(
    proxied_storage: tuple[Storage, FaultProxy],
    shared_services: Any,
    transport: str,
    request: pytest.FixtureRequest,
) -> None:
    """FLT-5: Of an upload whose connection ends before its last byte nothing is stored."""
    storage, proxy = proxied_storage
    direct: Storage = await shared_services.get(transport, Storage)
    label = new_id()
    expect(await _upload(storage, f"{label}-00000"), equals="0", what="grpc-status of the control")
    recorded = await proxy.recorded()
    points = {
        way: cuts(data, every=request.config.getoption("every_cut"))
        for way, data in recorded.items()
    }
    whole, end = told(b"".join(PIECES)), _end_of_request(recorded["upstream"], transport)
    points["upstream"] = sorted({*points["upstream"], *range(max(end - LAST, 0), end)})
    attach("cuts.txt", repr(points))

    uploads: dict[str, tuple[str, int]] = {}
    for way in WAYS:
        async with proxy.toxic("limit_data", way, bytes=BEYOND) as (toxic,):
            for count in points[way]:
                await proxy.change(toxic, bytes=count)
                name = f"{label}-{len(uploads) + 1:05}"
                uploads[name] = (way, count)
                await _upload(storage, name)
    did(f"cut {len(uploads)} uploads")

    stored = {name: await _stored(direct, name) for name in uploads}
    early = {
        f"{way} cut after {count} bytes of {end}": stored[name]
        for name, (way, count) in uploads.items()
        if way == "upstream" and count < end and stored[name] is not None
    }
    expect(early, equals={}, what="files whose upload did not come to its end")
    torn = {
        f"{way} cut after {count} bytes": stored[name]
        for name, (way, count) in uploads.items()
        if stored[name] not in (None, whole)
    }
    expect(torn, equals={}, what="files that are there, and not whole")
    expect(await _stored(direct, f"{label}-00000"), equals=whole, what="the file of the control")


def _bad() -> Mapping[str, Mapping[str, int]]:
    """Return what makes a way bad, and loses nothing."""
    return {
        "latency": {"latency": 10, "jitter": 8},
        "bandwidth": {"rate": RATE},
        "slicer": {"average_size": 700, "size_variation": 500},
    }


def _sent(kind: str) -> tuple[bytes, ...]:
    return MESSAGES if kind in ("CLIENT_STREAM", "BIDI_STREAM") else (ONE,)


def _back(kind: str) -> tuple[bytes, ...]:
    sent = _sent(kind)
    return (b"".join(sent),) if kind == "CLIENT_STREAM" else sent


async def _exchanged(
    driver: Driver, link: Link
) -> dict[str, tuple[Outcome, tuple[bytes, ...] | None]]:
    """Call by all kinds at once; return how each ended, and what arrived of it."""
    before = len(link.peer.arrivals)
    outcomes = await asyncio.gather(
        *(driver.call(link.name, *_sent(kind), method=kind, timeout=DEADLINE) for kind in KINDS)
    )
    arrived = {one.method: one.payloads for one in link.peer.arrivals[before:]}
    methods = [kind.title().replace("_", "") for kind in KINDS]
    return {
        kind: (outcome, arrived.get(method))
        for kind, outcome, method in zip(KINDS, outcomes, methods, strict=True)
    }


def _compared(found: Mapping[str, tuple[Outcome, Any]]) -> dict[str, Any]:
    return {kind: (one.code, arrived, one.payloads) for kind, (one, arrived) in found.items()}


async def _all_cuts(
    driver: Driver, link: Link, kind: str, *, every: bool
) -> dict[tuple[str, int], tuple[Outcome, bool]]:
    """Make a call again and again, cut elsewhere each time.

    Return how each ended, and whether it had arrived.
    """
    link.peer.otherwise = ok(*CUT) if kind == "SERVER_STREAM" else ok(CUT[1])
    payloads = CUT if kind == "CLIENT_STREAM" else CUT[:1]

    async def call() -> Outcome:
        return await driver.call(link.name, *payloads, method=kind, timeout=PATIENCE)

    await link.proxy.drop_connections()
    control = await call()
    expect((control.code, control.payloads), equals=("OK", _answer(kind)), what="a whole call")
    recorded = await link.proxy.recorded()
    found: dict[tuple[str, int], tuple[Outcome, bool]] = {}
    for way in WAYS:
        async with link.proxy.toxic("limit_data", way, bytes=BEYOND) as (toxic,):
            await link.proxy.drop_connections()
            for count in cuts(recorded[way], every=every):
                await link.proxy.change(toxic, bytes=count)
                before = len(link.peer.arrivals)
                outcome = await call()
                found[way, count] = outcome, len(link.peer.arrivals) > before
                if outcome.code == "OK":
                    await link.proxy.drop_connections()
    return found


def _answer(kind: str) -> tuple[bytes, ...]:
    return CUT if kind == "SERVER_STREAM" else CUT[1:2]


def _clean(kind: str, outcome: Outcome, arrived: bool) -> bool:  # noqa: FBT001 - a row's cell
    """Tell whether a call is whole, or fails with no more than whole messages of its answer."""
    whole, came = _answer(kind), outcome.payloads
    if outcome.code == "OK":
        return came == whole
    if outcome.code == "DEADLINE_EXCEEDED":
        return not arrived and not came
    return outcome.code == "UNAVAILABLE" and came == whole[: len(came)]


async def _upload(storage: Storage, file_id: str) -> str | None:
    """Upload a file on a connection of its own; return its grpc-status, None where there is none.

    PING before it and before its end: once that is answered, all that was sent has come.
    """
    with suppress(OSError):
        async with RawConnection(storage.address) as raw:
            await raw.ping(b"settled?")
            upload = await Upload.begin(raw)
            for piece in PIECES:
                await upload.send(piece, file_id)
            # The service has all of it before the end comes, or does not.
            await raw.ping(b"all sent")
            return (await upload.ended()).grpc_status
    return None


async def _stored(storage: Storage, file_id: str) -> tuple[int, str] | None:
    """Return size and SHA-256 of a file as it comes back; None: there is none."""
    chunks, answer = await storage.download(file_id)
    if answer.code == "NOT_FOUND":
        return None
    return told(b"".join(chunks))


def _end_of_request(data: bytes | None, transport: str) -> int:
    """Return how many bytes a request takes that ends with what was recorded; 0: nobody knows."""
    if data is None:
        return 0
    return len(data) - (ROOM if transport == "tcp" else 0)
