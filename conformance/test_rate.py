"""Chapter 22: rate limits (RATE-1 to RATE-5)."""

import asyncio
from collections.abc import Sequence

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.bounds import passed
from .harness.calls import Answer, Channel
from .harness.identity import SERVING, Identity
from .harness.judging import expect
from .harness.limits import (
    EXCEEDED,
    NEVER,
    Bucket,
    Call,
    Try,
    again_and_again,
    at_once,
    earned,
    expect_within,
    limited,
)
from .harness.nodes import Node
from .harness.security import start_secured

ONCE = Bucket(NEVER, burst=20)
"""What is used up does not come back while a test runs."""

QUICK = Bucket(rate=20, burst=5)
"""Comes back quickly (RATE-2)."""

LONE = Bucket(rate=4, burst=1)
"""One call at a time (RATE-3)."""

SHARE = Bucket(NEVER, burst=5)
"""Of each caller (RATE-5)."""

WATCHED = 0.5
"""Seconds for which a bucket is watched while it refills (CONFORMANCE.md, RATE-2)."""

CHECKS = 50

OK = ("OK", "")
HEALTHY = ("OK", SERVING)


async def test_rate_1_a_burst_passes_and_no_more(node: Node) -> None:
    """RATE-1: The burst passes, streams as one call each, and all beyond is RESOURCE_EXHAUSTED."""
    service = await node.start(limited(ONCE))
    events = await service.events()
    created = [await service.create() for _ in range(9)]
    seen = await events.take(9)
    expect(
        [event.did for event in seen],
        equals=[one.did for one in created],
        what="DIDs of a subscription, created after it",
    )
    resolve = _resolving(service, created[0].did)

    within = await at_once(resolve, 10)
    beyond = await at_once(resolve, ONCE.burst)

    expect(_told(within), equals=[OK] * 10, what="calls 11 to 20")
    expect(_told(beyond), equals=[EXCEEDED] * ONCE.burst, what="calls 21 to 40")
    stream = await (await service.events()).ended()
    expect((stream.code, stream.message), equals=EXCEEDED, what="another subscription")
    expect(await events.silent(0), equals=True, what="the subscription before stays open")
    expect(await _health(service), equals=HEALTHY, what="Check")
    events.cancel()


async def test_rate_2_capacity_returns_as_time_passes(node: Node) -> None:
    """RATE-2: A bucket refills at its rate, and never beyond its burst."""
    service = await node.start(limited(QUICK))
    resolve = _resolving(service, (await service.create()).did)

    drained = await at_once(resolve, 12)
    refilled = await again_and_again(resolve, WATCHED)
    await passed(2 * QUICK.fills_in)
    full = await at_once(resolve, 12)

    expect_within([*drained, *refilled], QUICK, what="calls while it refills")
    expect(
        _passed(refilled),
        at_least=earned(refilled, QUICK.rate) / 2,
        what="calls that were let through while it refills",
    )
    expect(_passed(full), at_least=QUICK.burst, what="calls let through by a full bucket")
    expect_within(full, QUICK, what="calls to a full bucket")


async def test_rate_3_a_refusal_says_when_to_come_back(node: Node) -> None:
    """RATE-3: A refusal holds RetryInfo, and a call after its delay is let through."""
    service = await node.start(limited(LONE))
    resolve = _resolving(service, (await service.create()).did)
    tries = await at_once(resolve, 4)
    expect_within(tries, LONE, what="calls")

    told = [one.answer.retry_delays for one in tries if one.refused]
    expect([len(delays) for delays in told], equals=[1] * len(told), what="RetryInfo of refusals")
    delays = [delay for (delay,) in told]
    await passed(max(delays))
    after = await resolve()

    expect(min(delays) > 0, equals=True, what=f"retry_delay above 0, in {delays}")
    expect(max(delays), at_most=1 / LONE.rate, what="seconds of retry_delay")
    expect((after.code, after.message), equals=OK, what="a call after retry_delay")


async def test_rate_4_health_checks_are_never_limited(node: Node) -> None:
    """RATE-4: Health checks take nothing from a full bucket, and are served by an empty one."""
    service = await node.start(limited(ONCE))

    async def create() -> Answer:
        return await service.call("CreateDID", pb.CreateDIDRequest(method="key"))

    full = await _health_checks(service)
    within = await at_once(create, ONCE.burst)
    beyond = await at_once(create, 1)
    empty = await _health_checks(service)

    expect(_told(within), equals=[OK] * ONCE.burst, what="the burst after health checks")
    expect([one.refused for one in beyond], equals=[True], what="one call more is refused")
    all_served = {
        "Check": [HEALTHY] * CHECKS,
        "IdentityService.Check": [HEALTHY] * CHECKS,
        "Watch": [HEALTHY],
    }
    expect(full, equals=all_served, what="health on a full bucket")
    expect(empty, equals=all_served, what="health on an empty bucket")


async def test_rate_5_a_caller_uses_up_its_own_share_alone(node: Node) -> None:
    """RATE-5: What is refused to one caller, or to a stranger, costs no other caller anything."""
    secured = await start_secured(node, limited(ONCE, SHARE))
    service = secured.service
    name = (await service.create()).did

    async def codes(channel: Channel, count: int) -> dict[str, int]:
        """Resolve so many times, and count the codes."""
        tries = await at_once(_resolving(service, name, channel), count)
        found = sorted(one.answer.code for one in tries)
        return {code: found.count(code) for code in found}

    observed = {
        "one over its share": await codes(secured.caller("greedy"), 40),
        "another within its own": await codes(secured.caller("second"), 5),
        "without a token": await codes(secured.bearing(), 40),
        "without permission": await codes(secured.caller("third", role="nobody"), 40),
        "who had no permission before": await codes(secured.caller("third"), 5),
        "who takes the rest": await codes(secured.caller("fourth"), 4),
        "who finds nothing left": await codes(secured.caller("fifth"), 5),
    }

    expect(
        observed,
        equals={
            "one over its share": {"OK": 5, "RESOURCE_EXHAUSTED": 35},
            "another within its own": {"OK": 5},
            "without a token": {"UNAUTHENTICATED": 40},
            "without permission": {"PERMISSION_DENIED": 40},
            "who had no permission before": {"OK": 5},
            "who takes the rest": {"OK": 4},
            "who finds nothing left": {"RESOURCE_EXHAUSTED": 5},
        },
        what="codes of the calls of each caller",
    )


def _resolving(service: Identity, name: str, channel: Channel | None = None) -> Call:
    """Return what resolves a DID, over the usual channel or another."""

    async def resolve() -> Answer:
        request = pb.ResolveDIDRequest(did=name)
        return await service.call_on(channel or service.channel, "ResolveDID", request)

    return resolve


def _told(tries: Sequence[Try]) -> list[tuple[str, str]]:
    return [one.told for one in tries]


def _passed(tries: Sequence[Try]) -> int:
    return sum(one.passed for one in tries)


async def _health(service: Identity) -> tuple[str, int]:
    answer = await service.check()
    return answer.code, answer.response.status if answer.response is not None else -1


async def _own_health(service: Identity) -> tuple[str, int]:
    answer = await service.call("Check", pb.HealthCheckRequest(service="identity"))
    return answer.code, answer.response.status if answer.response is not None else -1


async def _health_checks(service: Identity) -> dict[str, list[tuple[str, int]]]:
    """Ask for health in all three ways; return code and status of each answer."""
    checks = await asyncio.gather(*(_health(service) for _ in range(CHECKS)))
    own = await asyncio.gather(*(_own_health(service) for _ in range(CHECKS)))
    watch = await service.watch()
    messages = [("OK", (await watch.next()).status)]
    watch.cancel()
    return {"Check": checks, "IdentityService.Check": own, "Watch": messages}
