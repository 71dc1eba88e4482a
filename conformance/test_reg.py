"""Chapter 5: what the registry tells of the socket directory (REG)."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from blackhole.conformance.v1 import driver_pb2 as pb

from .harness import bounds
from .harness.driver import Driver
from .harness.fixtures_client import DRIVEN, Peers
from .harness.history import LATE
from .harness.judging import expect
from .harness.nodes import Node
from .harness.peer import Peer
from .harness.registry import Registry
from .harness.service import seconds

RESCANNED = seconds(DRIVEN["quick"]["registry"]["rescan_interval"]) + LATE
"""Seconds after which a socket that came or went is known (`quick`)."""

UNHURRIED = "3s"
"""The `rescan_interval` where a crowd is to be told: whether, not how soon, is the question."""

MANY = 500
"""Sockets at once: more than a node has, less than the queue of any watch holds."""


async def test_reg_1_a_new_socket_is_registered(driver: Driver, node: Node, name: str) -> None:
    """REG-1: A new socket is in the list under its name and version, however it was made."""
    directory = driver.path.parent
    wanted = {
        f"{name}.sock": (name, ""),
        f"{name}b.sock": (f"{name}b", ""),
        f"{name}c.sock": (f"{name}c", ""),
        f"{name}@1.0.0-rc.1+b.sock": (name, "1.0.0-rc.1+b"),
        f"{name}.sock.sock": (f"{name}.sock", ""),
    }
    moved, bound, beside, *others = [directory / file for file in wanted]

    async with driver.watch() as registry, AsyncExitStack() as closing:
        expect(_about(registry, name), equals=[], what="endpoints before there is a socket")

        for path in (beside, *others, node.directory / "s.sock"):
            peer = await closing.enter_async_context(Peer(path))
        peer.path.rename(moved)
        closing.enter_context(_bound(bound))
        await registry.seen(
            lambda _: len(_about(registry, name)) == len(wanted),
            bound=RESCANNED,
            what=f"the list holds {len(wanted)} new sockets",
        )
        outcome = await driver.call(name)
        listed = {
            endpoint.socket_path: (endpoint.name, endpoint.version)
            for endpoint in _about(registry, name)
        }
        moved.unlink()

    expect(
        listed,
        equals={str(directory / file): service for file, service in wanted.items()},
        what="name and version of each socket",
    )
    expect((outcome.code, len(peer.arrivals)), equals=("OK", 1), what="a call to the first of them")


async def test_reg_2_a_removed_socket_is_unregistered(
    driver: Driver, node: Node, peers: Peers, name: str
) -> None:
    """REG-2: A socket that is removed or moved away leaves the list, and it alone."""
    stays, goes = [f"{name}@2.0.0", f"{name}x"], [name, f"{name}b"]
    removed, moved = [await peers(each) for each in goes]
    await peers(name, "2.0.0")
    await peers(f"{name}x")

    async with driver.watch() as registry:
        await registry.seen(
            lambda _: _labels(registry, name) == [name, stays[0], goes[1], stays[1]],
            bound=RESCANNED,
            what="the list holds all four sockets",
        )
        since = len(registry.lists) - 1
        await removed.close()
        moved.path.rename(node.directory / "away")
        await registry.seen(
            lambda _: _labels(registry, name) == stays,
            bound=RESCANNED,
            what="the list holds those two alone that were neither removed nor moved",
        )
        lost = [_list_without(endpoints, stays) for endpoints in registry.lists[since:]]

    refused = await driver.resolve(f"{name}b")

    expect(lost, equals=[[]] * len(lost), what="endpoints that lists lack whose sockets stayed")
    expect(refused.code, equals="NOT_FOUND", what="Resolve of what was moved away")


async def test_reg_3_sockets_that_were_there_are_registered(node: Node) -> None:
    """REG-3: Sockets that are older than the watch are in the list."""
    plain, versioned = await node.peer("early"), await node.peer("early", "1.0.0")
    driver = await node.drive(DRIVEN["quick"])

    async with driver.watch() as registry:
        await registry.seen(
            lambda _: _labels(registry, "early") == ["early", "early@1.0.0"],
            bound=RESCANNED,
            what="the list holds both sockets",
        )
        outcomes = [await driver.call("early", version=version) for version in ("", "1.0.0")]
    async with driver.watch() as registry:
        first = _labels(registry, "early")

    expect([call.code for call in outcomes], equals=["OK", "OK"], what="codes of the calls")
    expect([len(peer.arrivals) for peer in (plain, versioned)], equals=[1, 1], what="arrivals")
    expect(first, equals=["early", "early@1.0.0"], what="the first list of another follower")


async def test_reg_4_other_files_are_ignored(driver: Driver, name: str) -> None:
    """REG-4: What is no socket, or has no service's name, is never in the list."""
    directory = driver.path.parent
    kinds = {kind: directory / f"{name}{kind}.sock" for kind in ("file", "dir", "fifo", "link")}
    sockets = (
        name, f"{name}.SOCK", f"{name}.sock.tmp", f"{name}.socket", f"{name}sock",
        f".{name}.sock", f"-{name}.sock", f"{name} x.sock", f"{name.ljust(64, 'x')}.sock",
        "@1.0.0.sock", f"{name}@.sock", f"{name}@1.sock", f"{name}@v1.0.0.sock",
        f"{name}@01.0.0.sock", f"{name}@1.0.0@1.0.0.sock",
    )  # fmt: skip

    async with driver.watch() as registry, AsyncExitStack() as closing:
        kinds["file"].touch()
        kinds["dir"].mkdir()
        os.mkfifo(kinds["fifo"])
        kinds["link"].symlink_to("nowhere")
        for file in sockets:
            closing.enter_context(_bound(directory / file))
        control = await closing.enter_async_context(Peer(directory / f"{name}ok.sock"))
        await _healthy(registry, f"{name}ok")
        resolved = {kind: (await driver.resolve(f"{name}{kind}")).code for kind in kinds}
        outcome = await driver.call(f"{name}ok")
        listed = {
            endpoint.socket_path
            for endpoints in registry.lists
            for endpoint in endpoints
            if name in endpoint.socket_path or not endpoint.name
        }
    kinds.pop("dir").rmdir()
    for path in kinds.values():
        path.unlink()

    expect(listed, equals={str(control.path)}, what="sockets that were ever in the list")
    expect(
        resolved,
        equals=dict.fromkeys(("file", "dir", "fifo", "link"), "NOT_FOUND"),
        what="Resolve of what is no socket",
    )
    expect((outcome.code, len(control.arrivals)), equals=("OK", 1), what="a call to what is one")


async def test_reg_5_a_socket_that_is_replaced_is_never_lost(driver: Driver, name: str) -> None:
    """REG-5: A service whose socket is moved over the one before is in every list."""
    path = driver.path.with_name(f"{name}.sock")

    async with driver.watch() as registry, AsyncExitStack() as closing:
        peer = await closing.enter_async_context(Peer(path))
        await _healthy(registry, name)
        since = len(registry.lists) - 1
        control = await driver.call(name)

        expect((control.code, len(peer.arrivals)), equals=("OK", 1), what="the call before")

        for _ in range(5):
            old, peer = peer, await closing.enter_async_context(Peer(path))
            await old.close()
        # What is told of it was told of all that was done before it.
        await closing.enter_async_context(Peer(path.with_name(f"{name}last.sock")))
        await _healthy(registry, f"{name}last")
        await _healthy(registry, name)
        outcome = await driver.call(name)
        lost = [_list_without(endpoints, [name]) for endpoints in registry.lists[since:]]

    expect(lost, equals=[[]] * len(lost), what="what lists lack after the first with the service")
    expect((outcome.code, len(peer.arrivals)), equals=("OK", 1), what="the call to the last one")


async def test_reg_5_a_service_that_restarts_ends_registered(driver: Driver, name: str) -> None:
    """REG-5: A service whose socket goes and comes again, over and over, ends in the list."""
    path = driver.path.with_name(f"{name}.sock")

    async with driver.watch() as registry, AsyncExitStack() as closing:
        peer = await closing.enter_async_context(Peer(path))
        await _healthy(registry, name)
        control = await driver.call(name)

        expect((control.code, len(peer.arrivals)), equals=("OK", 1), what="the call before")

        for _ in range(20):
            await peer.close()
            peer = await closing.enter_async_context(Peer(path))
        await closing.enter_async_context(Peer(path.with_name(f"{name}last.sock")))
        await _healthy(registry, f"{name}last")
        await _healthy(registry, name)
        outcome = await driver.call(name)

        expect((outcome.code, len(peer.arrivals)), equals=("OK", 1), what="the call to the last")


async def test_reg_6_many_sockets_come_and_go_at_once(node: Node) -> None:
    """REG-6: 500 sockets made at once are all in the list, and none once they are removed."""
    settings = {"health": {"interval": "60s"}, "registry": {"rescan_interval": UNHURRIED}}
    driver = await node.drive(settings)
    names = [f"many{number:03}" for number in range(MANY)]
    paths = [node.socket(name) for name in names]

    async with driver.watch() as registry:
        for path in paths:
            with _bound(path, stays=True):
                pass
        await registry.seen(
            lambda _: _labels(registry, "many") == names,
            bound=seconds(UNHURRIED) + LATE,
            what=f"the list holds {MANY} new sockets",
        )
        for path in paths:
            path.unlink()
        await registry.seen(
            lambda _: not _labels(registry, "many"),
            bound=seconds(UNHURRIED) + LATE,
            what="the list holds none of them",
        )

    peer = await node.peer("after")
    await driver.finds("after")
    outcome = await driver.call("after")

    expect((outcome.code, len(peer.arrivals)), equals=("OK", 1), what="a call after that")


async def test_reg_8_the_directory_may_go_and_come_back(node: Node) -> None:
    """REG-8: A directory that vanishes empties the list; when it is back, so are its sockets."""
    registered = await node.peer("kept", at=node.directory / "kept")
    services = {"kept": {"unix_socket": str(registered.path)}}
    driver = await node.drive({**DRIVEN["quick"], "services": services})

    async with driver.watch() as registry:
        await node.peer("found")
        await _lists(registry, ["driver", "found", "kept"])

        shutil.rmtree(node.socket_dir)
        await _lists(registry, ["kept"])
        node.socket_dir.mkdir(mode=0o700)
        second = await node.peer("found")
        await _lists(registry, ["found", "kept"])
        outcomes = [await driver.call("found")]

        await second.close()
        node.socket_dir.rename(node.directory / "away")
        await _lists(registry, ["kept"])
        node.socket_dir.mkdir(mode=0o700)
        third = await node.peer("found")
        await _lists(registry, ["found", "kept"])
        outcomes += [await driver.call(name) for name in ("found", "kept")]

    expect([call.code for call in outcomes], equals=["OK"] * 3, what="codes of the calls")
    expect(
        [len(peer.arrivals) for peer in (second, third, registered)],
        equals=[1, 1, 1],
        what="calls that arrived at the second and third found peer, and at the registered one",
    )


@contextmanager
def _bound(path: Path, *, stays: bool = False) -> Iterator[None]:
    """Bind a socket in place and listen at it; then close it, and remove its file or not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        yield
    if not stays:
        path.unlink()


def _about(registry: Registry, name: str) -> list[pb.Endpoint]:
    """Return the endpoints of the latest list whose names begin so: those of one test."""
    return [endpoint for endpoint in registry.endpoints if endpoint.name.startswith(name)]


def _label(endpoint: pb.Endpoint) -> str:
    return f"{endpoint.name}@{endpoint.version}" if endpoint.version else endpoint.name


def _labels(registry: Registry, name: str) -> list[str]:
    return [_label(endpoint) for endpoint in _about(registry, name)]


def _list_without(endpoints: Any, labels: list[str]) -> list[str]:
    """Return the labels that a list lacks."""
    there = {_label(endpoint) for endpoint in endpoints}
    return [label for label in labels if label not in there]


async def _healthy(registry: Registry, name: str) -> None:
    """Wait until a service that was just made is in the list and HEALTHY."""
    await registry.becomes(name, "HEALTHY", bound=RESCANNED + bounds.PROMPT)


async def _lists(registry: Registry, names: list[str]) -> None:
    await registry.seen(
        lambda _: registry.names == names, bound=RESCANNED, what=f"the list holds {names} alone"
    )
