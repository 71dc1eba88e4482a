"""Chapter 14: which of several versions a caller gets (VER)."""

import re

from .harness.driver import Driver
from .harness.fixtures_client import DRIVEN, Peers
from .harness.history import LATE
from .harness.judging import expect
from .harness.nodes import Node
from .harness.peer import Peer
from .harness.service import seconds

RESCANNED = seconds(DRIVEN["quick"]["registry"]["rescan_interval"]) + LATE
"""Seconds after which a socket that came or went is known (`quick`)."""

ASCENDING = (
    "0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
    "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.9.0", "1.10.0", "2.0.0-2", "2.0.0-10",
)  # fmt: skip
"""Versions from the lowest to the highest; most are from Semantic Versioning 2.0.0, 11."""

MALFORMED = (
    "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", "^1.0.0", "1.0.x",
    "latest", "-1.0.0", "1.0.0 ", "1.0.0\n", "\uff11.0.0",
)  # fmt: skip
"""What is no version: too few or many numbers, signs, leading zeros, empty parts, and what the
patterns of some languages let pass."""


async def test_ver_1_the_same_version_wins(driver: Driver, peers: Peers, name: str) -> None:
    """VER-1: Whoever asks for a version that is there is served by just that one."""
    versions = ("1.0.0", "1.0.1-rc.1", "1.0.1", "1.2.0+a", "1.2.0+b", "2.0.0")
    plain = await peers(name)
    there = {version: await peers(name, version) for version in versions}

    resolved = [await driver.where(name, version) for version in versions]
    outcomes = [await driver.call(name, version=version) for version in versions]

    expect(
        resolved,
        equals=[("OK", there[version].address, version) for version in versions],
        what="Resolve of each version",
    )
    expect([call.code for call in outcomes], equals=["OK"] * 6, what="codes of the calls")
    expect(
        _arrived({"": plain, **there}),
        equals={"": 0, **dict.fromkeys(versions, 1)},
        what="calls that arrived at each version",
    )


async def test_ver_1_a_registered_version_wins(node: Node) -> None:
    """VER-1: A registered service serves who asks for the version it is registered with."""
    registered = await node.peer("bills", at=0)
    service = {"tcp": {"port": registered.port}, "version": "1.0.0"}
    driver = await node.drive({**DRIVEN["quick"], "services": {"bills": service}})
    found = [await node.peer("bills", version) for version in ("1.0.0", "1.1.0")]
    await driver.finds("bills", "1.1.0", found[1].address)

    control = await driver.where("bills", "1.1.0")

    expect(control, equals=("OK", found[1].address, "1.1.0"), what="Resolve of what is found")

    resolved = await driver.where("bills", "1.0.0")
    outcome = await driver.call("bills", version="1.0.0")

    expect(
        resolved,
        equals=("OK", f"localhost:{registered.port}", "1.0.0"),
        what="Resolve of what is registered",
    )
    expect(outcome.code, equals="OK", what="code of the call")
    expect(
        [len(peer.arrivals) for peer in (registered, *found)],
        equals=[1, 0, 0],
        what="calls that arrived at the registered peer and at those that are found",
    )


async def test_ver_2_the_highest_compatible_version_serves(
    driver: Driver, peers: Peers, name: str
) -> None:
    """VER-2: Where the version is not there, the highest one of the same major version serves."""
    versions = ("0.1.5", "0.1.10", "0.2.0", "1.2.0", "1.9.0", "1.10.0", "2.0.0", "3.0.0-rc.1")
    there = {version: await peers(name, version) for version in ("", *versions)}
    served = {
        "0.1.0": "0.1.10", "0.1.6": "0.1.10", "1.0.0": "1.10.0", "1.9.1": "1.10.0",
        "1.10.0-rc.1": "1.10.0", "2.0.0-rc.1": "2.0.0", "3.0.0-alpha": "3.0.0-rc.1",
    }  # fmt: skip

    resolved = {asked: await driver.where(name, asked) for asked in served}
    outcomes = [await driver.call(name, version=asked) for asked in served]

    expect(
        resolved,
        equals={asked: ("OK", there[by].address, by) for asked, by in served.items()},
        what="Resolve of versions that are not there",
    )
    expect([call.code for call in outcomes], equals=["OK"] * 7, what="codes of the calls")
    expect(
        _arrived(there),
        equals={version: list(served.values()).count(version) for version in there},
        what="calls that arrived at each version",
    )


async def test_ver_2_what_cannot_be_used_does_not_count(
    driver: Driver, peers: Peers, name: str
) -> None:
    """VER-2: A version that nobody listens at is passed over for the next lower one."""
    lower, higher = await peers(name, "1.9.0"), await peers(name, "1.10.0")

    control = await driver.where(name, "1.0.0")

    expect(control, equals=("OK", higher.address, "1.10.0"), what="Resolve while both are there")

    await higher.close(leave=True)
    resolved = await driver.where(name, "1.0.0")
    outcome = await driver.call(name, version="1.0.0")

    expect(resolved, equals=("OK", lower.address, "1.9.0"), what="Resolve when one is stale")
    expect(outcome.code, equals="OK", what="code of the call")
    expect(
        [len(lower.arrivals), len(higher.arrivals)],
        equals=[1, 0],
        what="calls that arrived at the lower and at the stale one",
    )
    higher.path.unlink()


async def test_ver_3_the_versions_there_are_are_named(
    driver: Driver, peers: Peers, name: str
) -> None:
    """VER-3: Without a compatible version the answer is NOT_FOUND and names all there are."""
    usable = ("0.2.0", "1.9.0", "1.10.0-rc.1", "1.10.0")
    there = {version: await peers(name, version) for version in ("", *usable, "1.11.0")}
    await there["1.11.0"].close(leave=True)

    control = await driver.call(name, version="1.10.0")

    expect(control.code, equals="OK", what="code of the call of a version that is there")

    asked = ("0.3.0", "1.10.1", "1.11.0", "2.0.0")
    resolved = [await driver.resolve(name, version) for version in asked]
    outcomes = [await driver.call(name, version=version) for version in asked]

    expect(
        [(answer.code, call.code) for answer, call in zip(resolved, outcomes, strict=True)],
        equals=[("NOT_FOUND", "NOT_FOUND")] * 4,
        what="codes of Resolve and of the calls",
    )
    messages = [told.message for told in resolved] + [told.message for told in outcomes]
    for version, message in zip(asked * 2, messages, strict=True):
        expect(message, matches=rf".*\b{name}\b", what="the service in the refusal")
        expect(_named(message, version), equals=usable, what="versions that the refusal names")
    expect(
        _arrived(there),
        equals={version: int(version == "1.10.0") for version in there},
        what="calls that arrived at each version",
    )
    there["1.11.0"].path.unlink()


async def test_ver_3_no_version_at_all_is_said(driver: Driver, peer: Peer, name: str) -> None:
    """VER-3: A service without versions has none for who asks for one."""
    control = await driver.where(name)

    expect(control, equals=("OK", peer.address, ""), what="Resolve without a version")

    refused = await driver.resolve(name, "1.0.0")

    expect(refused.code, equals="NOT_FOUND", what="Resolve with a version")
    expect(refused.message, matches=rf".*\b{name}\b.*\bnone\b", what="message of the refusal")


async def test_ver_4_versions_order_as_semantic_versions(
    driver: Driver, peers: Peers, name: str
) -> None:
    """VER-4: The highest semantic version serves, and the list is in their order."""
    opened = {version: await peers(name, version) for version in (*ASCENDING[-2:], *ASCENDING[:-2])}
    plain = await peers(name)

    async with driver.watch() as registry:
        await registry.seen(
            lambda _: len(registry.of(name)) == len(opened) + 1,
            bound=RESCANNED,
            what="the list has all versions",
        )
        listed = [endpoint.version for endpoint in registry.of(name)]

    expect(listed, equals=["", *ASCENDING], what="order of the list")

    await plain.close()
    served = []
    for _ in ASCENDING:
        _, _, version = await driver.where(name)
        outcome = await driver.call(name)
        arrived = [each for each, peer in opened.items() if peer.arrivals]
        served.append((version, outcome.code, arrived))
        if version in opened:
            await opened.pop(version).close()

    expect(
        served,
        equals=[(version, "OK", [version]) for version in reversed(ASCENDING)],
        what="version that Resolve names, code of the call, and where it arrived",
    )


async def test_ver_5_a_malformed_version_is_refused(
    driver: Driver, peers: Peers, name: str
) -> None:
    """VER-5: What is no semantic version is INVALID_ARGUMENT, and nobody is called."""
    peer = await peers(name, "1.0.0")

    controls = [await driver.call(name, version=version) for version in ("1.0.0", "1.0.0+build")]

    expect([call.code for call in controls], equals=["OK"] * 2, what="codes of well-formed ones")

    resolved = {version: await driver.resolve(name, version) for version in MALFORMED}
    outcomes = {version: await driver.call(name, version=version) for version in MALFORMED}

    expect(
        {version: (resolved[version].code, outcomes[version].code) for version in MALFORMED},
        equals=dict.fromkeys(MALFORMED, ("INVALID_ARGUMENT", "INVALID_ARGUMENT")),
        what="codes of Resolve and of a call of malformed versions",
    )
    expect(
        [version for version in MALFORMED if version.strip() not in resolved[version].message],
        equals=[],
        what="versions that their refusal does not name",
    )
    expect(len(peer.arrivals), equals=2, what="calls that arrived, the two controls")


async def test_ver_5_also_of_a_service_that_is_not_there(driver: Driver, name: str) -> None:
    """VER-5: A malformed version is refused whether or not there is such a service."""
    control = await driver.resolve(name, "1.0.0")

    expect(control.code, equals="NOT_FOUND", what="Resolve of a well-formed one")

    refused = await driver.resolve(name, "latest")

    expect(refused.code, equals="INVALID_ARGUMENT", what="Resolve of a malformed one")
    expect(refused.message, matches=r".*\blatest\b", what="message of the refusal")


def _arrived(there: dict[str, Peer]) -> dict[str, int]:
    """Return how many calls arrived at each version."""
    return {version: len(peer.arrivals) for version, peer in there.items()}


def _named(message: str, asked: str) -> tuple[str, ...]:
    """Return the versions that a message names besides the one that was asked for."""
    versions = re.findall(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]*[0-9A-Za-z])?", message)
    return tuple(version for version in versions if version != asked)
