"""Chapter 21: authentication and authorization (AUTH-1 to AUTH-6, AUTH-8)."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from blackhole.identity.v1 import identity_pb2 as pb

from .harness import logs
from .harness.bounds import PROMPT, until
from .harness.calls import Answer, Channel
from .harness.forgeries import CONTROLS, FORGERIES, Entries
from .harness.identity import HEALTH, SERVICE, SERVING
from .harness.judging import did, expect, inconclusive
from .harness.nodes import Node
from .harness.raw import RawConnection
from .harness.security import RELOAD, Secured, request_id, start_secured
from .harness.tokens import Issuer, Key, signed

REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

METHODS = (
    *(
        f"/{SERVICE}/{method.name}"
        for method in pb.DESCRIPTOR.services_by_name["IdentityService"].methods
        if method.name != "Check"
    ),
    REFLECTION,
)
"""Every method that needs a token."""

Told = tuple[str, str, tuple[str, ...], tuple[str, ...]]
"""Code, message, and names of initial and trailing metadata."""

TAKEN = 2
"""Calls with a token before it expires: it was verified by the first, and may be known since."""

RENEWED = 1.0
"""Seconds beyond `auth.reload_interval` until other keys must be in use (CONFORMANCE.md)."""

REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
"""Codes that are for the caller's sake."""

MISSING = ("UNAUTHENTICATED", "missing token")
INVALID = ("UNAUTHENTICATED", "invalid token")
DENIED = ("PERMISSION_DENIED", "insufficient permissions")

LOOK_ALIKE = (
    f"/{SERVICE}/check",
    "/blackhole.identity.v1.Other/Check",
    "/x/Check",
    f"/{HEALTH}/Other",
    "/grpc.health.v2.Health/Check",
)
"""Methods that need a token, although their names resemble those that need none."""


async def test_auth_1_without_a_token_nothing_is_served(secured: Secured) -> None:
    """AUTH-1: A call without a token is UNAUTHENTICATED "missing token", whatever it asks for."""
    known, stranger = secured.caller(), secured.bearing()
    controls = {path: await _ended(known, path) for path in METHODS}
    expect(
        [path for path, (code, _) in controls.items() if code in REFUSED],
        equals=[],
        what="methods that refuse a caller with a token",
    )

    async with secured.service.unchanged():
        answers = {path: await _ended(stranger, path) for path in METHODS}

        expect(answers, equals=dict.fromkeys(METHODS, MISSING), what="methods without a token")


async def test_auth_2_a_token_that_is_wrong_lets_nobody_in(secured: Secured) -> None:
    """AUTH-2: A token that is wrong in one thing is UNAUTHENTICATED "invalid token"."""
    controls = {case: await _creating(secured, make) for case, make in CONTROLS.items()}
    expect(controls, equals=dict.fromkeys(CONTROLS, ("OK", "")), what="CreateDID, right tokens")

    async with secured.service.unchanged():
        answers = {case: await _creating(secured, make) for case, make in FORGERIES.items()}

        expect(
            {case: answer for case, answer in answers.items() if answer != INVALID},
            equals={},
            what=f"answers to wrong tokens other than {INVALID}",
        )


async def test_auth_2_a_token_that_was_taken_before_expires(secured: Secured) -> None:
    """AUTH-2: A token that was taken before is refused from the moment at which it expires."""
    expires = int(time.time()) + 2
    caller = secured.caller(exp=expires)
    answers: list[tuple[float, float, tuple[str, str]]] = []

    async def refused() -> bool:
        begin = time.time()
        answer = await _call(secured, caller, "CreateDID", _create())
        answers.append((begin, time.time(), (answer.code, answer.message)))
        return answer.code != "OK"

    await until(
        refused,
        bound=expires - time.time() + PROMPT,
        what="a token that was taken before is refused once it has expired",
        every=0.05,
    )

    before = [answer for _, end, answer in answers if end < expires]
    after = [answer for begin, _, answer in answers if begin >= expires]
    if len(before) < TAKEN:
        inconclusive(f"this host made {len(before)} calls in the life of a token")
    expect(before, equals=[("OK", "")] * len(before), what="calls that ended before it expired")
    expect(after, equals=[INVALID] * len(after), what="calls that began when the token had expired")


async def test_auth_2_keys_come_and_go(node: Node) -> None:
    """AUTH-2: A key that leaves the file is believed no more, and one that comes is, soon."""
    secured = await start_secured(node)
    issuer, trust = secured.issuer, secured.trust
    stays, goes = issuer.keys
    comes = Key("EdDSA", "suite-new")
    callers = {
        key.kid: secured.bearing(signed(issuer.header(key), issuer.claims(), key))
        for key in (stays, goes, comes)
    }

    async def answers(key: Key) -> tuple[str, str]:
        answer = await _call(secured, callers[key.kid], "CreateDID", _create())
        return answer.code, answer.message

    async def becomes(key: Key, wanted: tuple[str, str], what: str) -> None:
        async def seen() -> bool:
            staying.append(await answers(stays))
            return await answers(key) == wanted

        await until(seen, bound=RELOAD + RENEWED, what=what, every=0.1)

    staying: list[tuple[str, str]] = []
    first = [await answers(key) for key in (stays, goes, comes)]
    expect(first, equals=[("OK", ""), ("OK", ""), INVALID], what="CreateDID at first")

    issuer.keys = [stays]
    trust.publish()
    await becomes(goes, INVALID, "a token whose key is gone is refused")
    issuer.keys = [stays, comes]
    trust.publish()
    await becomes(comes, ("OK", ""), "a token whose key is new is taken")

    expect(staying, equals=[("OK", "")] * len(staying), what="CreateDID, the key that stays")
    expect(await answers(goes), equals=INVALID, what="CreateDID, the key that is gone")


async def test_auth_3_a_role_grants_no_more_than_it_says(secured: Secured) -> None:
    """AUTH-3: A call that the role is not granted is PERMISSION_DENIED, and does nothing."""
    created = await secured.service.create(properties={"kept": "yes"})
    reader = secured.caller(role="reader")
    control = await _call(secured, reader, "ResolveDID", pb.ResolveDIDRequest(did=created.did))
    expect(control.code, equals="OK", what="ResolveDID as reader")

    async with secured.service.unchanged():
        refused = {
            "CreateDID": await _call(secured, reader, "CreateDID", _create()),
            "BatchCreateDIDs": await _call(
                secured, reader, "BatchCreateDIDs", pb.BatchCreateDIDsRequest(requests=[_create()])
            ),
            "UpdateDID": await _call(
                secured, reader, "UpdateDID", pb.UpdateDIDRequest(did=created.did)
            ),
            "DeleteDID": await _call(
                secured, reader, "DeleteDID", pb.DeleteDIDRequest(did=created.did)
            ),
            "StreamDIDEvents": await (await secured.service.events(channel=reader)).ended(),
        }

        expect(
            {name: (answer.code, answer.message) for name, answer in refused.items()},
            equals=dict.fromkeys(refused, DENIED),
            what="what reader is not granted",
        )
    document = await secured.service.resolve(created.did)
    expect(dict(document.properties), equals={"kept": "yes"}, what="the DID")


async def test_auth_3_an_unknown_role_is_granted_nothing(secured: Secured) -> None:
    """AUTH-3: A token without a role that is configured is granted nothing."""
    created = await secured.service.create()
    roles = (None, "no-such-role", "Reader", "", "*")

    async def resolved(role: str | None) -> tuple[str, str]:
        request = pb.ResolveDIDRequest(did=created.did)
        answer = await _call(secured, secured.caller(role=role), "ResolveDID", request)
        return answer.code, answer.message

    control = await resolved("reader")
    expect(control, equals=("OK", ""), what="ResolveDID as reader")
    answers = {role: await resolved(role) for role in roles}

    expect(answers, equals=dict.fromkeys(roles, DENIED), what="ResolveDID, by role")


@pytest.mark.parametrize("tokens", [(), ("not-a-token",)], ids=["no-token", "invalid-token"])
async def test_auth_4_health_needs_no_token(secured: Secured, tokens: tuple[str, ...]) -> None:
    """AUTH-4: The health methods are served whatever token comes, or none."""
    channel = secured.bearing(*tokens)

    checked = await secured.service.check(channel=channel)
    watch = await secured.service.watch(channel=channel)
    first = await watch.next()
    watch.cancel()
    own = await _call(secured, channel, "Check", pb.HealthCheckRequest(service="identity"))

    expect(
        {
            "Check": (checked.code, checked.response and checked.response.status),
            "Watch": ("OK", first.status),
            "IdentityService.Check": (own.code, own.response and own.response.status),
        },
        equals=dict.fromkeys(("Check", "Watch", "IdentityService.Check"), ("OK", SERVING)),
        what="health, by method",
    )


async def test_auth_4_nothing_else_goes_without(secured: Secured) -> None:
    """AUTH-4: A method whose name resembles a health method needs a token."""
    stranger = secured.bearing()
    control = await secured.service.check(channel=stranger)
    expect(control.code, equals="OK", what="Check without a token")

    answers = {path: await _ended(stranger, path) for path in LOOK_ALIKE}

    expect(answers, equals=dict.fromkeys(LOOK_ALIKE, MISSING), what="methods without a token")


async def test_auth_5_streams_of_answers_are_authenticated(secured: Secured) -> None:
    """AUTH-5: A subscription is refused like any call, and shows nothing."""
    control = await secured.service.events(channel=secured.caller())
    created = await secured.service.create()
    expect((await control.next()).did, equals=created.did, what="the event, with a token")
    control.cancel()

    callers = {
        "no token": secured.bearing(),
        "an invalid token": secured.bearing("not-a-token"),
        "a role without the permission": secured.caller(role="nobody"),
    }
    streams = {who: await secured.service.events(channel=one) for who, one in callers.items()}
    await secured.service.create()
    ends = {who: await stream.rest() for who, stream in streams.items()}

    expect(
        {who: (len(seen), end.code, end.message) for who, (seen, end) in ends.items()},
        equals=dict(zip(callers, [(0, *MISSING), (0, *INVALID), (0, *DENIED)], strict=True)),
        what="events seen, and how the subscription ended",
    )


async def test_auth_5_streams_of_requests_are_refused_before_a_message(secured: Secured) -> None:
    """AUTH-5: A stream of requests without a token is refused before any message came."""
    async with RawConnection(secured.service.address) as raw:
        token = secured.issuer.token()
        accepted = await raw.begin(REFLECTION, [("authorization", f"Bearer {token}")])
        refused = await raw.begin(REFLECTION)
        did("began two calls of reflection, one of them with a token, and sent no message")
        answer = await raw.over(refused)

        expect(answer.grpc_status, equals="16", what="grpc-status of the call without a token")
        expect(raw.answer(accepted).over, equals=False, what="the call with a token has ended")


async def test_auth_6_claims_reach_the_handler(secured: Secured) -> None:
    """AUTH-6: Each call is made in the name of its own token's subject, whatever runs beside it."""
    address = secured.service.connect(metadata=())
    subjects = [f"subject-{number}" for number in range(12)]

    async def create(subject: str) -> tuple[str, str]:
        """Create a DID over the one connection; return whom its records name."""
        name, value = request_id()
        token = secured.issuer.token(subject)
        answer = await secured.service.call_on(
            address,
            "CreateDID",
            _create(),
            metadata=[(name, value), ("authorization", f"Bearer {token}")],
        )
        expect(answer.code, equals="OK", what=f"CreateDID of {subject}")
        records = await logs.audit(secured.service.process, value)
        return subject, " and ".join({str(record.get("subject")) for record in records})

    one_by_one = [await create(subject) for subject in subjects[:2]]
    at_once = await asyncio.gather(*map(create, subjects))

    expect(
        [*one_by_one, *at_once],
        equals=[(subject, subject) for subject in (*subjects[:2], *subjects)],
        what="(the token's subject, the subject of the record)",
    )


@pytest.mark.parametrize("tokens", [(), ("not-a-token",)], ids=["no-token", "invalid-token"])
async def test_auth_8_refusals_answer_no_questions(
    secured: Secured, tokens: tuple[str, ...]
) -> None:
    """AUTH-8: Without a valid token, what exists looks like what does not."""
    created = await secured.service.create()
    resolve = f"/{SERVICE}/ResolveDID"
    asked: dict[str, tuple[str, Any]] = {
        "a DID that exists": (resolve, pb.ResolveDIDRequest(did=created.did)),
        "one that does not": (resolve, pb.ResolveDIDRequest(did="did:key:none")),
        "a malformed one": (resolve, pb.ResolveDIDRequest(did="none")),
        "a body that cannot be parsed": (resolve, b"\xff\xff"),
        "no such method": (f"/{SERVICE}/NoSuchMethod", b""),
        "no such service": ("/no.such.Service/Method", b""),
    }
    stranger = secured.bearing(*tokens)

    control = await secured.service.resolve(created.did)
    expect(control.did, equals=created.did, what="the DID, with a token")
    told = {
        what: _told(await stranger.unary(path, request, None))
        for what, (path, request) in asked.items()
    }

    expect(told, equals=dict.fromkeys(told, _first(told)), what="answers to a stranger")
    expect(
        _first(told)[:2], equals=INVALID if tokens else MISSING, what="the one answer that they are"
    )


async def test_auth_8_made_up_methods_follow_the_role(secured: Secured) -> None:
    """AUTH-8: A method that does not exist is refused to a role, and UNIMPLEMENTED to a wider."""
    path = f"/{SERVICE}/NoSuchMethod"

    denied = await _ended(secured.caller(role="reader"), path)
    unknown = await _ended(secured.caller(), path)

    expect(denied, equals=DENIED, what="no such method, as a role that is granted another")
    expect(unknown[0], equals="UNIMPLEMENTED", what="the same, as a role that is granted all")


async def _creating(secured: Secured, make: Callable[[Issuer], Entries]) -> tuple[str, str]:
    """Create a DID with a token as it is made; return code and message."""
    answer = await secured.service.call_on(
        secured.stranger, "CreateDID", _create(), metadata=make(secured.issuer)
    )
    return answer.code, answer.message


def _create() -> pb.CreateDIDRequest:
    return pb.CreateDIDRequest(method="key")


async def _call(secured: Secured, channel: Channel, method: str, request: Any) -> Answer:
    return await secured.service.call_on(channel, method, request)


async def _ended(channel: Channel, path: str) -> tuple[str, str]:
    """Call any method with an empty message; return code and message; OK where it stays open."""

    async def barrier() -> Answer:
        return await channel.unary(f"/{HEALTH}/Check", health_pb2.HealthCheckRequest(), None)

    (answer,) = await channel.judged(path, [b""], barrier)
    return answer.code, answer.message


def _told(answer: Answer) -> Told:
    """Return all that a stranger learns: code, message, and which metadata there is."""
    initial, trailing = (
        tuple(sorted(name for name, _ in entries)) for entries in (answer.initial, answer.trailing)
    )
    return answer.code, answer.message, initial, trailing


def _first(told: dict[str, Told]) -> Told:
    return next(iter(told.values()))
