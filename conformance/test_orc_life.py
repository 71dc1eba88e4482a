"""Chapter 13: how processes are kept, limited, told and ended (ORC-7 to ORC-12)."""

import itertools
import os
import resource
import signal
from functools import partial
from typing import Any

import pytest

from .harness.bounds import PROMPT, until
from .harness.judging import did, expect
from .harness.nodes import Node, peer_credentials
from .harness.orchestrator import (
    SETTLES,
    Orchestrator,
    Puppet,
    health_of,
    is_gone,
    shown,
    state_of,
)
from .test_orc import NOTICED, settings

LINGER = 0.2
"""Seconds that puppets take to end (ORC-7)."""

ORPHANED = 1.0
"""Seconds that the suite configures as `orphan_timeout` (ORC-8)."""

LIMITS = {
    "open_files": (resource.RLIMIT_NOFILE, 300, 300),
    "address_space_bytes": (resource.RLIMIT_AS, "4294967296", 4294967296),
    "cpu_time": (resource.RLIMIT_CPU, "100s", 100),
    "processes": (resource.RLIMIT_NPROC, "4000", 4000),
}
"""Fields of ResourceLimits: the kernel's number, as configured, and as it must be (ORC-9)."""

MEMORY = 3 << 30
"""Bytes of address space: what gRPC reserves at its start fits in a third of it (ORC-10)."""


async def test_orc_7_sigterm_stops_everything_in_reverse(node: Node) -> None:
    """ORC-7: SIGTERM stops the services in reverse order, and leaves nothing."""
    first, second, third = (Puppet(node.directory, name) for name in ("z", "b", "a"))
    linger = ("--linger", str(LINGER))
    orchestrator = await node.orchestrate(
        settings(
            a=third.entry(*linger, dependencies=["b"]),
            b=second.entry(*linger, dependencies=["z"]),
            z=first.entry(*linger),
        )
    )
    pids = [info.pid for info in (await orchestrator.services()).values()]

    ended = await orchestrator.stop()

    expect(ended.status, equals=0, what="exit status")
    stops = {one.name: one.moments("stops") for one in (third, second, first)}
    expect(
        {name: len(moments) for name, moments in stops.items()},
        equals=dict.fromkeys("abz", 1),
        what="services that were told to stop",
    )
    for late, early in (("b", "a"), ("z", "b")):
        expect(
            stops[late][0].time - stops[early][0].time,
            at_least=LINGER,
            what=f"seconds from the stop of {early} to that of {late}, which it depends on",
        )
    expect([pid for pid in pids if not is_gone(pid)], equals=[], what="processes left behind")
    expect(node.leftovers(), equals=[], what="files in socket_dir")


async def test_orc_7_who_does_not_stop_is_killed(node: Node) -> None:
    """ORC-7: A service that ignores SIGTERM is killed once its grace period is over."""
    deaf = Puppet(node.directory, "deaf")
    orchestrator = await node.orchestrate(
        settings(deaf=deaf.entry("--deaf")) | {"grace_period": "0.5s"}
    )
    pid = (await orchestrator.get("deaf")).pid

    await orchestrator.hang_up()
    orchestrator.process.signal(signal.SIGTERM)
    # Its own grace period, and that of a service; CONFORMANCE.md allows 1 s more for each.
    ended = await orchestrator.process.ended(2 * (0.5 + NOTICED) + NOTICED)

    expect(ended.status, equals=0, what="exit status")
    expect(is_gone(pid), equals=True, what="whether the service is gone")
    expect(node.leftovers(), equals=[], what="files in socket_dir")


async def test_orc_8_nothing_outlives_its_orchestrator(node: Node) -> None:
    """ORC-8: After SIGKILL of the orchestrator its services end within the bound."""
    puppet, deaf = Puppet(node.directory, "a"), Puppet(node.directory, "deaf")
    orchestrator = await node.orchestrate(_orphaned(settings(puppet, deaf=deaf.entry("--deaf"))))
    pids = [info.pid for info in (await orchestrator.services()).values()]

    orchestrator.process.signal(signal.SIGKILL)

    await until(
        lambda: all(map(is_gone, pids)),
        bound=ORPHANED,
        what="the services of an orchestrator that was killed are gone",
        seen=lambda: [pid for pid in pids if not is_gone(pid)],
    )
    expect(len(puppet.moments("stops")), equals=1, what="whether `a` was asked to stop first")


async def test_orc_8_another_one_has_one_process_a_service(node: Node) -> None:
    """ORC-8: Where another orchestrator is started at once, each service has one process."""
    puppets = [Puppet(node.directory, name) for name in "ab"]
    first = await node.orchestrate(_orphaned(settings(*puppets)))
    before = {name: info.pid for name, info in (await first.all_run("a", "b")).items()}

    first.process.signal(signal.SIGKILL)
    await first.hang_up()
    second = await node.orchestrate(_orphaned(settings(*puppets)))
    await until(
        lambda: all(map(is_gone, before.values())), bound=ORPHANED, what="the orphans are gone"
    )
    # Whoever would end what is not its own has had the time to.
    await second.comes_to("a", "RUNNING", but=before["a"], bound=SETTLES)
    after = await second.all_run("a", "b")

    for puppet in puppets:
        pids = {one.pid for one in puppet.moments("starts")}
        expect(
            [pid for pid in pids if not is_gone(pid)],
            equals=[after[puppet.name].pid],
            what=f"processes of {puppet.name} that live",
        )
        expect(
            peer_credentials(node.socket(puppet.name))[0],
            equals=after[puppet.name].pid,
            what=f"process at the socket of {puppet.name}",
        )


async def test_orc_9_limits_hold_in_each_child(node: Node) -> None:
    """ORC-9: The limits of a service are those of its process, soft and hard; others have none."""
    limited, free = Puppet(node.directory, "a"), Puppet(node.directory, "b")
    limits = {field: configured for field, (_, configured, _) in LIMITS.items()}
    orchestrator = await node.orchestrate(settings(free, a=limited.entry(limits=limits)))
    told = await orchestrator.all_run("a", "b")

    def seen(name: str) -> dict[str, tuple[int, int]]:
        pid = told[name].pid
        return {field: resource.prlimit(pid, kind) for field, (kind, _, _) in LIMITS.items()}

    expect(
        seen("a"),
        equals={field: (value, value) for field, (_, _, value) in LIMITS.items()},
        what="limits of the process, (soft, hard)",
    )
    before = {
        field: resource.prlimit(orchestrator.process.pid, kind)[1]
        for field, (kind, _, _) in LIMITS.items()
    }
    expect(
        {field: hard for field, (_, hard) in seen("b").items()},
        equals=before,
        what="hard limits of a service without any: those of the orchestrator",
    )
    await orchestrator.restart("a")
    told = await orchestrator.all_run("a", "b")
    expect(seen("a")["open_files"], equals=(300, 300), what="open files after a restart")


async def test_orc_10_who_takes_too_much_memory_dies_alone(node: Node) -> None:
    """ORC-10: A service that exceeds its memory dies alone, and is started again."""
    greedy, other = Puppet(node.directory, "a"), Puppet(node.directory, "b")
    limits = {"address_space_bytes": str(MEMORY)}
    orchestrator = await node.orchestrate(settings(other, a=greedy.entry(limits=limits)))
    before = await orchestrator.all_run("a", "b")

    greedy.eat()
    after = await orchestrator.comes_to("a", "RUNNING", but=before["a"].pid)

    expect(is_gone(before["a"].pid), equals=True, what="whether the greedy process is gone")
    expect(after.restarts, equals=1, what="restarts of it")
    expect((await orchestrator.get("b")).pid, equals=before["b"].pid, what="process of the other")
    expect(len(other.moments("starts")), equals=1, what="starts of the other")


async def test_orc_11_what_is_told_is_true(node: Node) -> None:
    """ORC-11: Every service is told with all that is known of it, and each change as it comes."""
    a, b = Puppet(node.directory, "a"), Puppet(node.directory, "b")
    orchestrator = await node.orchestrate(settings(b, a=a.entry(version="1.2.3")))
    before = await orchestrator.all_run("a", "b")

    expect(
        [_known(info) for info in before.values()],
        equals=[
            ("a", str(node.socket("a@1.2.3")), a.moments("starts")[0].pid, "1.2.3"),
            ("b", str(node.socket("b")), b.moments("starts")[0].pid, ""),
        ],
        what="(name, socket, PID, version) of each service",
    )
    for info in before.values():
        expect(
            (health_of(info), state_of(info), info.tcp_address),
            equals=("SERVING", "RUNNING", ""),
            what=f"(health, state, TCP address) of {info.name}",
        )
    unknown = await orchestrator.halt("nobody")
    expect(unknown.code, equals="NOT_FOUND", what="StopService of a service that is not there")
    checked = before["a"].last_check.ToNanoseconds()
    await until(
        lambda: _later(orchestrator, checked), bound=PROMPT, what="last_check goes on", every=0.02
    )

    stream = await orchestrator.watch()
    first = [(await stream.next()).service for _ in before]
    expect([info.name for info in first], equals=["a", "b"], what="services that are told first")
    os.kill(before["a"].pid, signal.SIGKILL)
    changes: list[tuple[str, str, str]] = []
    while not changes or changes[-1] != ("a", "RUNNING", "SERVING"):
        change = (await stream.next()).service
        changes.append((change.name, state_of(change), health_of(change)))
    stream.cancel()
    did(f"told: {changes}")
    # That its process is gone may be told before the state that this brings about.
    states = [state for state, _ in itertools.groupby(state for _, state, _ in changes)]
    expect(
        states[states[0] == "RUNNING" :],
        equals=["BACKING_OFF", "STARTING", "RUNNING"],
        what="states that are told",
    )
    expect({name for name, _, _ in changes}, equals={"a"}, what="services whose changes are told")
    again = await orchestrator.get("a")
    expect(
        again.pid == before["a"].pid, equals=False, what=f"the PID is the old one: {shown(again)}"
    )


@pytest.mark.also_profile("service", "remote")
@pytest.mark.transports("tcp")
async def test_orc_11_a_port_is_told(node: Node) -> None:
    """ORC-11: Of a service with a port its address is told, and it is checked there too."""
    orchestrator = node.begin_orchestrator(
        {"services": {"identity": {"disable_unix_socket": True}}}, services=["identity"]
    )
    await orchestrator.ready(node.start_timeout)
    info = await orchestrator.comes_to("identity", "RUNNING")

    assert node.remote is not None
    expect(
        (info.unix_socket, info.tcp_address),
        equals=("", f"127.0.0.1:{node.remote.port.number}"),
        what="(socket, TCP address) of a service that has a port alone",
    )
    expect(bool(info.pid) and not is_gone(info.pid), equals=True, what="whether it has a process")


async def test_orc_12_stray_children_die_with_their_service(node: Node) -> None:
    """ORC-12: Each service is a process group of its own, which ends as a whole."""
    stray, other = Puppet(node.directory, "a"), Puppet(node.directory, "b")
    orchestrator = await node.orchestrate(settings(other, a=stray.entry("--stray")))
    told = await orchestrator.all_run("a", "b")
    groups = {name: os.getpgid(info.pid) for name, info in told.items()}

    expect(
        len({*groups.values(), os.getpgid(orchestrator.process.pid)}),
        equals=3,
        what=f"process groups of two services and the orchestrator: {groups}",
    )
    for how in (signal.SIGKILL, signal.SIGTERM):
        child, pid = stray.stray, (await orchestrator.get("a")).pid
        expect(is_gone(child), equals=False, what="whether the stray child is gone before")
        did(f"sent {how.name} to process {pid}, whose child is {child}")
        os.kill(pid, how)
        await orchestrator.comes_to("a", "RUNNING", but=pid)
        await until(partial(is_gone, child), bound=PROMPT, what="the stray child is gone")


def _orphaned(changes: dict[str, Any]) -> dict[str, Any]:
    return changes | {"orchestrator": {"orphan_timeout": f"{ORPHANED}s"}}


def _known(info: Any) -> tuple[str, str, int, str]:
    return info.name, info.unix_socket, info.pid, info.version


async def _later(orchestrator: Orchestrator, checked: int) -> bool:
    info = await orchestrator.get("a")
    return bool(info.last_check.ToNanoseconds() > checked)
