"""Chapter 4: where a service is, and where calls to it arrive (DISC); also SOCK-10."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from .harness import bounds
from .harness.bounds import until
from .harness.driver import Driver
from .harness.fixtures_client import DRIVEN, Peers
from .harness.health import NOT_SERVING, SERVICE_UNKNOWN, SERVING
from .harness.history import LATE, expect_elapsed
from .harness.judging import expect
from .harness.nodes import Node
from .harness.peer import Peer
from .harness.replies import Reply, fails, hangs, raw_message
from .harness.service import seconds

LONGEST = 63
"""Characters of a service's name at most."""

AT_ONCE = 0.1
"""Seconds that a refusal may take that waits for nothing. The shortest waits that it is not to be
confused with: 0.22 s for the delays of four attempts, 0.3 s for a rescan (`quick`)."""

OFTEN = "0.05s"
"""The `health.interval` of drivers that a test starts for itself."""

SHORT = "0.3s"
"""The `health.timeout` where a check is to run into it: long enough that a driver is asked before
the first one ends."""

RESCANNED = seconds(DRIVEN["quick"]["registry"]["rescan_interval"]) + LATE
"""Seconds after which a socket that came or went is known (`quick`)."""


async def test_disc_1_a_registered_socket_is_used(node: Node) -> None:
    """DISC-1: A registered healthy service is called at its Unix socket, wherever that lies."""
    registered = await node.peer("bills", at=node.directory / "elsewhere")
    found = await node.peer("bills")
    driver = await _drive(node, bills={"unix_socket": str(registered.path)})
    other = await node.peer("other")
    await driver.finds("other")

    control = await driver.where("other")

    expect(control, equals=("OK", other.address, ""), what="Resolve of what is only found")

    resolved = await driver.where("bills")
    outcome = await driver.call("bills")

    expect(resolved, equals=("OK", registered.address, ""), what="Resolve of what is registered")
    expect(outcome.code, equals="OK", what="code of the call")
    _arrived({registered: 1, found: 0, other: 0})


async def test_disc_2_a_registered_port_is_used(node: Node) -> None:
    """DISC-2: A registered healthy service without a Unix socket is called at host and port."""
    local, hosted = await node.peer("local", at=0), await node.peer("hosted", at=0)
    found = await node.peer("local")
    driver = await _drive(
        node,
        local={"tcp": {"port": local.port}},
        hosted={"tcp": {"host": "127.0.0.1", "port": hosted.port}},
    )

    resolved = [await driver.where(name) for name in ("local", "hosted")]
    outcomes = [await driver.call(name) for name in ("local", "hosted")]

    expect(
        resolved,
        equals=[("OK", f"localhost:{local.port}", ""), ("OK", f"127.0.0.1:{hosted.port}", "")],
        what="Resolve without and with a configured host",
    )
    expect([outcome.code for outcome in outcomes], equals=["OK"] * 2, what="codes of the calls")
    _arrived({local: 1, hosted: 1, found: 0})


async def test_disc_3_what_is_registered_and_not_healthy_is_not_used(node: Node) -> None:
    """DISC-3: Whatever a registered service answers but SERVING, it gets no call."""
    answers: dict[str, int | Reply] = {
        "mute": hangs(),
        "ill": NOT_SERVING,
        "unknown": SERVICE_UNKNOWN,
        "failing": fails("UNIMPLEMENTED"),
        "garbled": raw_message(b"\xff"),
    }
    there = {name: await node.peer(name, at=node.directory / name) for name in ("well", *answers)}
    for name, health in answers.items():
        there[name].health = health
    paths = {name: str(peer.path) for name, peer in there.items()} | {"gone": f"{node.directory}/x"}
    services = {name: {"unix_socket": path} for name, path in paths.items()}
    driver = await _drive(node, health_timeout=SHORT, **services)

    # The mute one first: its first check has not ended yet, which must not count as healthy.
    refused = [name for name in paths if name != "well"]
    resolved = {name: await driver.resolve(name) for name in refused}
    await _resolves(driver, "well", there["well"])
    calls = await asyncio.gather(*(driver.call(name) for name in refused))
    control = await driver.call("well")

    expect(control.code, equals="OK", what="code of the call to the healthy one")
    expect(
        {name: answer.code for name, answer in resolved.items()},
        equals=dict.fromkeys(refused, "UNAVAILABLE"),
        what="Resolve of registered services that are not healthy",
    )
    expect(
        [name for name, answer in resolved.items() if name not in answer.message],
        equals=[],
        what="services that their refusal does not name",
    )
    expect([call.code for call in calls], equals=["UNAVAILABLE"] * len(refused), what="their calls")
    _arrived({peer: int(name == "well") for name, peer in there.items()})


async def test_disc_3_a_registration_counts_while_it_is_healthy(node: Node) -> None:
    """DISC-3: What is found serves while what is registered is unhealthy, and no longer."""
    registered = await node.peer("bills", at=node.directory / "elsewhere")
    driver = await _drive(node, bills={"unix_socket": str(registered.path)})
    found = await node.peer("bills")

    first = await driver.call("bills")

    expect(first.code, equals="OK", what="code of the call while it is healthy")
    _arrived({registered: 1, found: 0})

    registered.health = NOT_SERVING
    await _resolves(driver, "bills", found)
    second = await driver.call("bills")

    expect(second.code, equals="OK", what="code of the call while it is unhealthy")
    _arrived({registered: 1, found: 1})

    registered.health = SERVING
    await _resolves(driver, "bills", registered)
    third = await driver.call("bills")

    expect(third.code, equals="OK", what="code of the call once it is healthy again")
    _arrived({registered: 2, found: 1})


async def test_disc_4_a_socket_file_is_found_by_its_whole_name(
    driver: Driver, peers: Peers, name: str
) -> None:
    """DISC-4: An unregistered service is found by the socket with exactly its name."""
    names = [name, f"{name}.sock", f"{name}.a_B-9", name.ljust(LONGEST, "x")]
    there = {each: await peers(each) for each in names}

    resolved = [await driver.where(each) for each in names]
    outcomes = [await driver.call(each, each.encode()) for each in names]

    expect(
        resolved,
        equals=[("OK", peer.address, "") for peer in there.values()],
        what="Resolve of what is found",
    )
    expect([outcome.code for outcome in outcomes], equals=["OK"] * 4, what="codes of the calls")
    expect(
        [[arrival.payloads for arrival in peer.arrivals] for peer in there.values()],
        equals=[[(each.encode(),)] for each in names],
        what="what arrived at each",
    )


async def test_disc_4_a_stale_socket_is_not_used(driver: Driver, peers: Peers, name: str) -> None:
    """DISC-4: A socket file at which nobody listens is no service."""
    gone = await peers(name)

    control = await driver.call(name)

    expect(control.code, equals="OK", what="code of the call while somebody listens")
    _arrived({gone: 1})

    await gone.close(leave=True)
    resolved = await driver.resolve(name)
    outcome = await driver.call(name)

    expect(resolved.code, equals="UNAVAILABLE", what="Resolve of the stale socket")
    expect(resolved.message, matches=rf".*\b{name}\b", what="message of the refusal")
    expect(outcome.code, equals="UNAVAILABLE", what="code of a call to the stale socket")

    versioned = await peers(name, "1.0.0")
    passed_over = await driver.where(name)
    returned = await peers(name)
    found_again = await driver.where(name)

    expect(
        [passed_over, found_again],
        equals=[("OK", versioned.address, "1.0.0"), ("OK", returned.address, "")],
        what="Resolve with a version beside it, and when somebody listens there again",
    )


async def test_disc_4_what_is_found_unhealthy_is_not_used(
    driver: Driver, peer: Peer, name: str
) -> None:
    """DISC-4: A found service that says that it does not serve gets no call."""
    control = await driver.call(name)

    expect(control.code, equals="OK", what="code of the call while it is healthy")

    peer.health = NOT_SERVING
    await _refuses(driver, name)
    refused = await driver.call(name)
    peer.health = SERVING
    await _resolves(driver, name, peer)
    after = await driver.call(name)

    expect(
        (refused.code, after.code),
        equals=("UNAVAILABLE", "OK"),
        what="codes of the calls while it is unhealthy, and after",
    )
    _arrived({peer: 2})


@pytest.mark.parametrize("method", ["UNARY", "SERVER_STREAM"])
async def test_disc_5_nothing_found_is_not_found(
    driver: Driver, peers: Peers, name: str, method: str
) -> None:
    """DISC-5: A service that is not there is NOT_FOUND at once, and nobody else is asked."""
    asked = f"{name}ab"
    others = [await peers(each) for each in (name, f"{asked}c", asked.upper(), f"{asked}.sock")]

    control = await driver.call(name, method=method)

    expect(control.code, equals="OK", what="code of the call to what is there")

    resolved = await driver.resolve(asked)
    outcome = await driver.call(asked, method=method)

    expect(
        (resolved.code, outcome.code),
        equals=("NOT_FOUND", "NOT_FOUND"),
        what="codes of Resolve and of the call",
    )
    for message in (resolved.message, outcome.message):
        expect(message, matches=rf".*\b{asked}\b", what="message of the refusal")
    expect_elapsed(
        outcome.elapsed, since=outcome.since, at_most=AT_ONCE, what="time that the refusal took"
    )
    expect(
        [len(await other.settled()) for other in others],
        equals=[1, 0, 0, 0],
        what="connections to the others, the control's included",
    )
    _arrived(dict(zip(others, (1, 0, 0, 0), strict=True)))


async def test_disc_7_a_service_that_comes_later_is_found(
    driver: Driver, peers: Peers, name: str
) -> None:
    """DISC-7: A service is found when it comes, however often it was asked for before."""
    before = [await driver.call(name) for _ in range(3)]

    expect([call.code for call in before], equals=["NOT_FOUND"] * 3, what="calls before it came")

    first = await peers(name)
    found = await driver.call(name)
    await first.close()
    await _resolves_as(driver, name, ("NOT_FOUND", "", ""), RESCANNED)
    lost = await driver.call(name)
    second = await peers(name)
    again = await driver.call(name)

    expect(
        [call.code for call in (found, lost, again)],
        equals=["OK", "NOT_FOUND", "OK"],
        what="codes of the calls when it has come, when it is gone, and when it is back",
    )
    _arrived({first: 1, second: 1})


async def test_disc_8_names_never_leave_the_directory(
    driver: Driver, peers: Peers, name: str
) -> None:
    """DISC-8: What is no name of a service is INVALID_ARGUMENT, and nobody is called."""
    directory = driver.path.parent
    there = await peers(name.ljust(LONGEST, "y"))
    beside = [await peers(name), await peers(name, "1.0.0")]
    below = directory / f"{name}.d"
    below.mkdir()
    too_long = "y" * (LONGEST + 1)
    traps = [directory.parent / f"{name}.sock", below / "x.sock", directory / f".{name}x.sock"]
    traps += [
        directory / f"{word}.sock" for word in (f"-{name}", f"{name} x", f"{name}é", too_long)
    ]

    async with AsyncExitStack() as closing:
        trapped = [await closing.enter_async_context(Peer(trap)) for trap in traps]
        control = await driver.call(name.ljust(LONGEST, "y"))
        answers = {}
        for word in (
            "", ".", "..", "/", f"../{name}", f"{name}.d/x", f"./{name}", f"{name}/../{name}",
            str(directory / name), str(directory.parent / name), f"{name}\0", f"{name}\0x",
            f"{name}@1.0.0", f".{name}x", f"-{name}", f"{name} x", f"{name}é", f"{name}\n",
            too_long, "y" * 5000, f"unix:{directory}/{name}.sock",
        ):  # fmt: skip
            resolved, outcome = await driver.resolve(word), await driver.call(word)
            answers[word] = resolved.code, outcome.code
        connected = [trap.all_connections for trap in trapped[:2]]
    below.rmdir()

    expect(control.code, equals="OK", what="code of the call by the longest name")
    expect(
        answers,
        equals=dict.fromkeys(answers, ("INVALID_ARGUMENT", "INVALID_ARGUMENT")),
        what="codes of Resolve and of a call by malformed names",
    )
    expect(connected, equals=[[], []], what="connections to sockets outside the directory")
    _arrived({there: 1} | dict.fromkeys((*beside, *trapped), 0))


async def test_sock_10_the_unix_socket_goes_before_tcp(node: Node) -> None:
    """SOCK-10: A service that has a Unix socket and a port is called at the socket alone."""
    near = await node.peer("both", at=node.directory / "both")
    far = await node.peer("both", at=0)
    driver = await _drive(
        node,
        both={"unix_socket": str(near.path), "tcp": {"port": far.port}},
        port={"tcp": {"port": far.port}},
    )

    control = await driver.call("port")

    expect(control.code, equals="OK", what="code of the call by the port")
    _arrived({near: 0, far: 1})

    resolved = await driver.where("both")
    outcomes = [await driver.call("both") for _ in range(5)]

    expect(resolved, equals=("OK", near.address, ""), what="Resolve of what has both")
    expect([outcome.code for outcome in outcomes], equals=["OK"] * 5, what="codes of the calls")
    _arrived({near: 5, far: 1})
    expect(len(await far.settled()), equals=1, what="connections to the port, the control's")


async def _drive(node: Node, health_timeout: str = "", **services: dict[str, Any]) -> Driver:
    """Start a driver that has services registered."""
    health = {**DRIVEN["quick"]["health"], "interval": OFTEN}
    if health_timeout:
        health["timeout"] = health_timeout
    return await node.drive({**DRIVEN["quick"], "health": health, "services": services})


async def _resolves_as(
    driver: Driver, name: str, wanted: tuple[str, str, str], bound: float
) -> None:
    """Wait until Resolve answers so."""

    async def answered() -> bool:
        return await driver.where(name) == wanted

    await until(answered, bound=bound, what=f"Resolve of {name} answers {wanted}")


async def _resolves(driver: Driver, name: str, peer: Peer) -> None:
    """Wait until a change of health has made this peer the one to call."""
    await _resolves_as(driver, name, ("OK", peer.address, ""), _rechecked(driver))


async def _refuses(driver: Driver, name: str) -> None:
    """Wait until a change of health has made a service unavailable."""
    await _resolves_as(driver, name, ("UNAVAILABLE", "", ""), _rechecked(driver))


def _rechecked(driver: Driver) -> float:
    """Return the seconds after which a change of a peer's health is known."""
    return seconds(driver.settings["health"]["interval"]) + bounds.PROMPT


def _arrived(counts: dict[Peer, int]) -> None:
    """Compare how many calls reached each peer."""
    expect(
        {f"{peer.name} at {peer.address}": len(peer.arrivals) for peer in counts},
        equals={f"{peer.name} at {peer.address}": count for peer, count in counts.items()},
        what="calls that arrived at each peer",
    )
