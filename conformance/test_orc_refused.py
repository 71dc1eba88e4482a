"""Chapter 13: a node that cannot be is refused before anything starts (ORC-1, 8, 9 and 13)."""

import resource
from typing import Any

from .harness.judging import did, expect
from .harness.nodes import Node
from .harness.orchestrator import Puppet, is_gone
from .harness.remote import suite_pki, tls_settings
from .test_orc import settings

MISSING = "no-such-program"
"""A command that cannot be executed, in the node's directory."""

OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
"""The hard limit of the suite, and so of each process that it starts."""

DEPENDENCIES = ("dependencies",)

IMPOSSIBLE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "circle": (
        {"a": {"dependencies": ["b"]}, "b": {"dependencies": ["c"]}, "c": {"dependencies": ["a"]}},
        DEPENDENCIES,
    ),
    "own-dependency": ({"a": {"dependencies": ["a"]}}, DEPENDENCIES),
    "unknown-dependency": ({"a": {"dependencies": ["nobody"]}}, DEPENDENCIES),
    "one-socket-for-two": (
        {name: {"unix_socket": "{directory}/x.sock"} for name in "ab"},
        ("unix_socket", "unixSocket"),
    ),
    "one-port-for-two": ({name: {"tcp": {"port": 50051}} for name in "ab"}, ("tcp",)),
}
"""Changed entries of services, and the words of which one must be in the message (ORC-1)."""

LIMITS: dict[str, tuple[tuple[str, str], int]] = {
    "zero": (("address_space_bytes", "addressSpaceBytes"), 0),
    "above-its-own": (("open_files", "openFiles"), OPEN_FILES + 1),
}
"""Limits that no process can be given (ORC-9)."""


async def test_orc_1_what_has_no_order_or_place_is_refused(node: Node) -> None:
    """ORC-1: Services that cannot all run are refused by field, and none of them is started."""
    await _runs(node)
    for case, (changes, words) in IMPOSSIBLE.items():
        await _refuses(node, case, changes, *words)


async def test_orc_9_a_limit_that_cannot_be_is_refused(node: Node) -> None:
    """ORC-9: A limit that cannot hold is refused by field, and nothing is started."""
    await _runs(node)
    for case, ((field, camel), value) in LIMITS.items():
        await _refuses(node, case, {"a": {"limits": {field: value}}}, field, camel)


async def test_orc_13_a_command_that_cannot_be_executed_is_refused(node: Node) -> None:
    """ORC-13: A command that cannot be executed is refused by name, and nothing is started."""
    missing = str(node.directory / MISSING)

    await _runs(node)
    await _refuses(node, "command", {"a": {"command": [missing]}}, missing)


async def test_orc_8_a_second_orchestrator_touches_nothing(node: Node) -> None:
    """ORC-8: Where an orchestrator serves, another one is refused, and every process stays."""
    puppets = [Puppet(node.directory, name) for name in "ab"]
    changes = settings(*puppets)
    first = await node.orchestrate(changes)
    before = await first.all_run("a", "b")

    config = node.write(node.settings(changes))
    ended = await node.refused("orchestrator", "--config", str(config))

    # The directory, the socket, or the process that serves there.
    words = (str(node.socket_dir), str(first.process.pid))
    expect(ended.says(*words), equals=True, what=f"a line of standard error holds one of {words}")
    after = await first.all_run("a", "b")
    expect(
        {name: info.pid for name, info in after.items()},
        equals={name: info.pid for name, info in before.items()},
        what="processes that the first orchestrator tells of",
    )
    expect(
        {one.name: [moment.pid for moment in one.moments("starts")] for one in puppets},
        equals={name: [info.pid] for name, info in before.items()},
        what="all processes that were started",
    )
    expect([one.pid for one in before.values() if is_gone(one.pid)], equals=[], what="those gone")


async def _runs(node: Node) -> None:
    """Start a node without any change, and stop it."""
    control = await node.orchestrate(settings(*_puppets(node)) | _tls(node))
    await control.stop()
    did("the control: the node runs without a change, and was stopped")


async def _refuses(node: Node, case: str, changes: dict[str, dict[str, Any]], *words: str) -> None:
    """Start the node with entries changed, which must fail, and start no service."""
    puppets = _puppets(node)
    starts = {one.name: len(one.moments("starts")) for one in puppets}
    entries = {one.name: one.entry(**_placed(node, changes.get(one.name, {}))) for one in puppets}
    config = node.write(node.settings({"services": entries} | _tls(node)))
    did(f"{case}: starts an orchestrator with {changes}")

    ended = await node.refused("orchestrator", "--config", str(config))

    what = f"{case}: a line of standard error holds one of {words}"
    expect(ended.says(*words), equals=True, what=what)
    expect(
        {one.name: len(one.moments("starts")) for one in puppets},
        equals=starts,
        what=f"{case}: starts of each service, with those of the control",
    )
    expect(node.leftovers(), equals=[], what=f"{case}: files left in socket_dir")


def _puppets(node: Node) -> list[Puppet]:
    return [Puppet(node.directory, name) for name in "abc"]


def _tls(node: Node) -> dict[str, Any]:
    """Return settings without which no service can have a port."""
    server = suite_pki().server()
    assert server.own is not None
    return {"tls": tls_settings(node.directory / "tls", server.own, server.trusted)}


def _placed(node: Node, entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of which the paths are the node's."""
    return {
        name: value.format(directory=node.directory) if isinstance(value, str) else value
        for name, value in entry.items()
    }
