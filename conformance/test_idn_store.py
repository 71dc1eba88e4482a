"""Chapter 7: what the identity service keeps, and says when it cannot (IDN-2, 5, 12, 13)."""

import asyncio
import json

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.bounds import until
from .harness.identity import NOT_SERVING, Identity
from .harness.judging import NonConformance, did, expect
from .harness.nodes import Node


async def test_idn_2_dids_are_unique(node: Node) -> None:
    """IDN-2: DIDs are unique, also across concurrent creates and restarts."""
    found: list[str] = []
    for count in (500, 500, 100):
        service = await node.start()
        for _ in range(count // 50):
            created = await asyncio.gather(*(service.create() for _ in range(50)))
            found += [answer.did for answer in created]
        await service.stop()
        did(f"created {count} DIDs, 50 at once, and stopped the service")

    expect(len(found), equals=1100, what="DIDs created")
    expect(len(set(found)), equals=1100, what="DIDs that differ")


async def test_idn_5_a_store_failure_says_no_more_than_that(node: Node) -> None:
    """IDN-5: A store failure is INTERNAL "failed to create DID", and is logged."""
    service = await node.start()
    before = await service.create()

    node.gone()
    single = await service.call("CreateDID", pb.CreateDIDRequest(method="key"))
    batch = await service.call(
        "BatchCreateDIDs", pb.BatchCreateDIDsRequest(requests=[pb.CreateDIDRequest(method="key")])
    )
    node.back()

    for what, answer in (("CreateDID", single), ("BatchCreateDIDs", batch)):
        expect(
            (answer.code, answer.message, answer.violations),
            equals=("INTERNAL", "failed to create DID", ()),
            what=f"{what} while the store is gone",
        )
    await until(lambda: _errors(service), bound=1.0, what="a log line at level error")
    await until(lambda: _creates(service), bound=0.4, what="CreateDID is OK once the store is back")
    await service.resolve(before.did)


async def test_idn_12_what_was_acknowledged_survives_sigkill(node: Node) -> None:
    """IDN-12: A DID whose creation was acknowledged survives SIGKILL."""
    acknowledged: dict[str, str] = {}

    for round_, most in enumerate((1, 100, 500)):
        service = await node.start()
        await _create_until_killed(
            service, f"round {round_}", len(acknowledged) + most, acknowledged
        )
        did(f"killed the service with {len(acknowledged)} DIDs acknowledged in all")

    service = await node.start()
    answers = await asyncio.gather(
        *(service.call("ResolveDID", pb.ResolveDIDRequest(did=name)) for name in acknowledged)
    )
    lost = [
        name
        for (name, value), answer in zip(acknowledged.items(), answers, strict=True)
        if answer.code != "OK" or dict(answer.response.document.properties) != {"value": value}
    ]
    expect(len(acknowledged), at_least=601, what="DIDs acknowledged")
    expect(lost, equals=[], what="acknowledged DIDs that are lost or changed")


async def test_idn_13_both_checks_agree(node: Node) -> None:
    """IDN-13: IdentityService.Check and grpc.health.v1 say the same, in every state."""
    service = await node.start()
    await service.lives()

    serving = [await _both(service, name) for name in ("", "identity", "no-such-service")]
    node.gone()
    await until(lambda: _not_serving(service), bound=0.4, what="NOT_SERVING without the store")
    not_serving = [await _both(service, name) for name in ("", "identity", "no-such-service")]
    node.back()

    expect(serving, equals=[(1, 1), (1, 1), (3, 3)], what="(Health, Identity) while serving")
    expect(not_serving, equals=[(2, 2), (2, 2), (3, 3)], what="(Health, Identity) without a store")


def _errors(service: Identity) -> bool:
    """Tell whether the log holds a line at level error, besides those of calls (LOG-2)."""
    for line in service.process.stderr.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("level") == "error" and "duration" not in record:
            return True
    return False


async def _creates(service: Identity) -> bool:
    return (await service.call("CreateDID", pb.CreateDIDRequest(method="key"))).code == "OK"


async def _not_serving(service: Identity) -> bool:
    return bool((await service.check()).response.status == NOT_SERVING)


async def _both(service: Identity, name: str) -> tuple[int, int]:
    health = await service.check(name)
    own = await service.call("Check", pb.HealthCheckRequest(service=name))
    if (health.code, own.code) != ("OK", "OK"):
        raise NonConformance(what=f"both checks of {name!r}", expected="OK", observed=(health, own))
    return health.response.status, own.response.status


async def _create_until_killed(
    service: Identity, label: str, enough: int, acknowledged: dict[str, str]
) -> None:
    """Create DIDs by 16 callers, every fourth in batches, and kill the service in mid-work."""
    killed = asyncio.Event()

    async def caller(number: int) -> None:
        for turn in range(10_000):
            value = f"{label}, caller {number}, turn {turn}"
            item = pb.CreateDIDRequest(method="key", properties={"value": value})
            if number % 4:
                answer = await service.call("CreateDID", item)
                results = [answer.response]
            else:
                answer = await service.call(
                    "BatchCreateDIDs", pb.BatchCreateDIDsRequest(requests=[item] * 3)
                )
                results = list(answer.response.dids) if answer.response else []
            if answer.code != "OK":
                return
            acknowledged.update((result.did, value) for result in results)
            if len(acknowledged) >= enough and not killed.is_set():
                killed.set()
                await service.process.kill()

    await asyncio.gather(*(caller(number) for number in range(16)))
    await service.hang_up()
    expect(killed.is_set(), equals=True, what=f"enough DIDs were created before the kill ({label})")
