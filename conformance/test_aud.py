"""Chapter 22: audit (AUD-1 to AUD-3)."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from blackhole.identity.v1 import identity_pb2 as pb

from .harness import auditing, bounds, secrecy
from .harness.calls import Channel, Metadata
from .harness.forgeries import CONTROLS, FORGERIES
from .harness.frames import framed
from .harness.identity import SERVICE
from .harness.judging import did, expect, inconclusive
from .harness.limits import NEVER, Bucket, limited
from .harness.nodes import Node
from .harness.raw import RawConnection
from .harness.security import Secured, request_id, start_secured
from .harness.streams import Stream

QUIET = {"telemetry": {"log_level": "LOG_LEVEL_ERROR"}}
"""The log that says least: audit records are written all the same."""

TALKATIVE = {"telemetry": {"log_level": "LOG_LEVEL_DEBUG"}}

SHARE = Bucket(NEVER, burst=8)
"""Of each caller in AUD-1: as many served calls as there are refused ones."""

LEAVERS = 48
"""Creates at once whose callers leave, the first soon and the last when all answers are due."""

ROUNDS = 20
"""Of them, until somebody has left while its change was made: somebody does in nearly each."""

PLENTY = Bucket(rate=1000, burst=1000)

ASKED = ("ResolveDID", "StreamDIDEvents")
"""What refused callers call: one answer, and a stream of them."""

REFUSED = {
    "no token": ("UNAUTHENTICATED", "authentication_refused", ""),
    "a forged token": ("UNAUTHENTICATED", "authentication_refused", ""),
    "no permission": ("PERMISSION_DENIED", "permission_refused", "bob"),
    "over the rate": ("RESOURCE_EXHAUSTED", "rate_limited", "ada"),
}
"""Code, event and subject of a call, by what is wrong with it."""


async def test_aud_1_every_refusal_leaves_one_record(node: Node) -> None:
    """AUD-1: Each refused call leaves exactly one record, and one that is served leaves none."""
    secured = await start_secured(node, {**QUIET, **limited(PLENTY, SHARE)})
    forged = FORGERIES["signature-of-a-stranger"](secured.issuer)
    ada = secured.caller("ada")
    name = (await secured.service.create()).did
    served = [await _asked(secured, ada, method, name) for method in ASKED * (SHARE.burst // 2)]
    expect([code for _, code in served], equals=["OK"] * SHARE.burst, what="calls within the share")

    channels = {
        "no token": secured.stranger,
        "a forged token": secured.service.connect(metadata=forged),
        "no permission": secured.caller("bob", role="nobody"),
        "over the rate": ada,
    }
    cases, right = {}, {}
    for (who, channel), method in itertools.product(channels.items(), ASKED):
        code, event, subject = REFUSED[who]
        value, seen = await _asked(secured, channel, method, name)
        case = cases[value] = f"{who}, {method}"
        expect(seen, equals=code, what=f"code of a call with {case}")
        right[case] = auditing.refusal(
            event,
            transport=node.transport,
            method=f"/{SERVICE}/{method}",
            subject=subject,
            request_id=value,
        )
    await secured.service.stop()

    found = auditing.refusals(secured.service.process)
    told = [cases.get(record["request_id"], "another call") for record in found]
    expect(
        {case: told.count(case) for case in {**right, **dict.fromkeys(told)}},
        equals=dict.fromkeys(right, 1),
        what="number of records, by call",
    )
    for record in found:
        case = cases[record["request_id"]]
        expect(record, equals=right[case], what=f"the record of {case}")


async def test_aud_2_no_token_and_no_key_is_told(node: Node) -> None:
    """AUD-2: No line of output holds a token, a key or a part of one, at level debug."""
    secured = await start_secured(node, TALKATIVE)
    ada = secured.caller("ada")
    sent: list[tuple[str, str | bytes]] = []
    refused: list[str] = []

    for make in (*CONTROLS.values(), *FORGERIES.values()):
        entries = make(secured.issuer)
        sent += entries
        for method in ("CreateDID", "StreamDIDEvents"):
            value, code = await _asked(secured, secured.stranger, method, metadata=entries)
            refused += [value] if code == "UNAUTHENTICATED" else []
    for metadata in _elsewhere(secured):
        sent += metadata
        for channel in (secured.stranger, ada):
            await _asked(secured, channel, "CreateDID", metadata=metadata)
    sent += await _not_text(secured)
    sent += await _failed(node, secured)
    await secured.service.stop()

    process = secured.service.process
    recorded = [record["request_id"] for record in auditing.refusals(process)]
    expect(
        (len(refused), [value for value in refused if value not in recorded]),
        equals=(2 * len(FORGERIES), []),
        what="(calls that are refused, those of them that the log does not know)",
    )
    secrets = [*secrecy.of_metadata(sent), *_key(node)]
    expect(
        secrecy.told(process.stdout + process.stderr, secrets),
        equals=[],
        what="tokens and keys of which a part is told",
    )


async def test_aud_3_changes_name_their_subject(node: Node) -> None:
    """AUD-3: Each change of a DID leaves exactly one record, and what failed leaves none."""
    secured = await start_secured(node, QUIET)
    right: list[dict[str, Any]] = []

    async def changed(
        subject: str, event: str, method: str, request: Any, *, code: str = "OK"
    ) -> Any:
        """Ask for a change; expect a record of it for each DID that it is about."""
        entry = request_id()
        channel = channels[subject]
        answer = await secured.service.call_on(channel, method, request, metadata=[entry])
        expect(answer.code, equals=code, what=f"{method} of {subject}")
        if code == "OK":
            right.extend(
                auditing.change(
                    event,
                    transport=node.transport,
                    method=f"/{SERVICE}/{method}",
                    subject=subject,
                    request_id=entry[1],
                    did=name,
                )
                for name in _names(request, answer.response)
            )
        return answer.response

    channels = {subject: secured.caller(subject) for subject in ("ada", "bob")}
    create = pb.CreateDIDRequest(method="key")
    for subject in channels:
        name = (await changed(subject, "did_created", "CreateDID", create)).did
        batch = pb.BatchCreateDIDsRequest(requests=[create] * 3)
        await changed(subject, "did_created", "BatchCreateDIDs", batch)
        await changed(subject, "did_updated", "UpdateDID", pb.UpdateDIDRequest(did=name))
        await changed(subject, "did_deleted", "DeleteDID", pb.DeleteDIDRequest(did=name))
        gone = pb.UpdateDIDRequest(did=name)
        await changed(subject, "did_updated", "UpdateDID", gone, code="NOT_FOUND")
    await secured.service.stop()
    found = auditing.changes(secured.service.process)

    expect(len(found), equals=len(right), what="number of records")
    for seen, wanted in zip(_sorted(found), _sorted(right), strict=True):
        expect(seen, equals=wanted, what=f"the record of {wanted['event']}")


async def test_aud_3_a_change_whose_caller_left_is_recorded(node: Node) -> None:
    """AUD-3: Who leaves before the answer is named too, and the service serves on."""
    secured = await start_secured(node, QUIET)
    service, ada = secured.service, secured.caller("ada")
    events = await service.events(pb.EVENT_TYPE_CREATED)
    request = pb.CreateDIDRequest(method="key")

    async def creates(patience: Sequence[float]) -> Sequence[str]:
        """Create DIDs, all at once, each for a caller who waits for so many seconds."""
        answers = await asyncio.gather(
            *(service.call_on(ada, "CreateDID", request, timeout=each) for each in patience)
        )
        return [answer.code for answer in answers]

    begin = time.monotonic()
    codes = await creates([bounds.DEADLINE] * LEAVERS)
    whole = time.monotonic() - begin
    expect(codes, equals=["OK"] * LEAVERS, what="codes of creates that are waited for")
    made: list[str] = []
    waited_for = LEAVERS
    for _ in range(ROUNDS):
        codes = await creates([whole * part / LEAVERS for part in range(1, LEAVERS + 1)])
        last = await service.create(channel=ada)
        made += await _until(events, last.did)
        waited_for += codes.count("OK") + 1
        did(f"{LEAVERS - codes.count('OK')} left; made for those who did: {len(made) - waited_for}")
        if len(made) > waited_for:
            break
    else:
        inconclusive("none of those who left did so between its request and its change")
    await service.stop()
    records = auditing.changes(service.process)

    found = Counter(record["did"] for record in records)
    expect(
        {name: found[name] for name in made},
        equals=dict.fromkeys(made, 1),
        what="number of records, by the DIDs that were created",
    )
    expect(
        {record["subject"] for record in records}, equals={"ada"}, what="subjects of all records"
    )


async def _until(events: Stream, last: str) -> list[str]:
    """Return whose creation is told of, up to one."""
    told = [(await events.next()).did]
    while told[-1] != last:
        told.append((await events.next()).did)
    return told


async def _asked(
    secured: Secured, channel: Channel, method: str, name: str = "", metadata: Metadata = ()
) -> tuple[str, str]:
    """Call a method; return the call's ID, and the code: OK where a stream stays open."""
    entry = request_id()
    metadata = [entry, *metadata]
    if method == "StreamDIDEvents":
        stream = await secured.service.events(channel=channel, metadata=metadata)
        if await stream.silent(bounds.OPEN):
            stream.cancel()
            return entry[1], "OK"
        return entry[1], (await stream.ended()).code
    request = (
        pb.CreateDIDRequest(method="key")
        if method == "CreateDID"
        else pb.ResolveDIDRequest(did=name)
    )
    answer = await secured.service.call_on(channel, method, request, metadata=metadata)
    return entry[1], answer.code


def _elsewhere(secured: Secured) -> Sequence[Sequence[tuple[str, str | bytes]]]:
    """Return metadata that hold a token where nobody asks for one."""
    return [
        [("x-token", secured.issuer.token())],
        [("cookie", f"session={secured.issuer.token()}")],
        [("proxy-authorization", f"Bearer {secured.issuer.token()}")],
        [("x-token-bin", secured.issuer.token().encode())],
    ]


async def _not_text(secured: Secured) -> Sequence[tuple[str, bytes]]:
    """Send a token by hand beside a byte that is no UTF-8; return the token."""
    right = f"Bearer {secured.issuer.token()}".encode()
    async with RawConnection(secured.service.address) as raw:
        request = framed(pb.CreateDIDRequest(method="key"))
        for value in (right + b"\xff", b"\xff" + right):
            await raw.call(f"/{SERVICE}/CreateDID", request, [("authorization", value)])
    did("sent a token with a byte beside it that is no UTF-8")
    return [("authorization", right)]


async def _failed(node: Node, secured: Secured) -> Sequence[tuple[str, str]]:
    """Let a call fail inside the service; return the token that it bore."""
    entry = "authorization", f"Bearer {secured.issuer.token()}"
    node.gone()
    value, code = await _asked(secured, secured.stranger, "CreateDID", metadata=[entry])
    node.back()
    expect(code, equals="INTERNAL", what=f"CreateDID while the store is gone ({value})")
    return [entry]


def _key(node: Node) -> Sequence[str]:
    """Return the lines of the service's private key, where it has one."""
    if node.remote is None or node.remote.server.own is None:
        return []
    return secrecy.of_key(node.remote.server.own.key)


def _names(request: Any, response: Any) -> list[str]:
    """Return the DIDs that a call created, updated or deleted."""
    if isinstance(response, pb.BatchCreateDIDsResponse):
        return [one.did for one in response.dids]
    return [response.did if isinstance(response, pb.CreateDIDResponse) else request.did]


def _sorted(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(records, key=lambda record: (str(record["request_id"]), str(record["did"])))
