"""Chapter 1: processes of a node (PROC-1, PROC-2), and what is known of them (DISC-6)."""

import asyncio
import os
import signal
from typing import Any

import pytest

from .harness import reflection
from .harness.bounds import DEADLINE, until
from .harness.events import Events
from .harness.identity import Identity
from .harness.judging import did, expect
from .harness.ledger import Ledger
from .harness.nodes import Node, peer_credentials
from .harness.orchestrator import Orchestrator, Puppet, is_gone
from .harness.service import ServedProcess
from .harness.storage import Storage

KINDS: dict[str, type[ServedProcess]] = {
    kind.NAME: kind for kind in (Events, Identity, Ledger, Storage)
}

OURS = ("blackhole.events.", "blackhole.identity.", "blackhole.ledger.", "blackhole.storage.")
"""Packages of the architecture's services."""


async def _platform(node: Node) -> tuple[Orchestrator, dict[str, Any]]:
    """Let the orchestrator run all four services; return what it tells of them."""
    orchestrator = await node.orchestrate(services=tuple(KINDS))
    return orchestrator, await orchestrator.all_run(*KINDS)


def _attached(node: Node, name: str) -> Any:
    """Return a service that the orchestrator runs, in the words of its chapter."""
    service = KINDS[name](node.socket(name), None, grace=5.0)
    node.services.append(service)
    return service


@pytest.mark.transports("unix")
async def test_proc_1_every_service_is_a_process_of_its_own(node: Node) -> None:
    """PROC-1: No two services share a process, and each serves nothing else."""
    _, told = await _platform(node)

    pids = {name: peer_credentials(node.socket(name))[0] for name in KINDS}
    expect(len(set(pids.values())), equals=len(KINDS), what=f"processes at their sockets, {pids}")
    expect({name: info.pid for name, info in told.items()}, equals=pids, what="PIDs that are told")
    for name in KINDS:
        schema = await reflection.read(_attached(node, name).channel)
        served = {one.split(".")[1] for one in schema.services if one.startswith(OURS)}
        expect(served, equals={name}, what=f"areas that the process of {name} serves")


@pytest.mark.transports("unix")
async def test_proc_2_the_end_of_one_leaves_the_others_answering(node: Node) -> None:
    """PROC-2: While one service is dead, every other one answers within its deadline."""
    orchestrator, told = await _platform(node)
    services = {name: _attached(node, name) for name in KINDS}

    for dead in KINDS:
        before = (await orchestrator.get(dead)).pid
        os.kill(before, signal.SIGKILL)
        did(f"killed {dead}, process {before}")
        for name, service in services.items():
            if name != dead:
                async with asyncio.timeout(DEADLINE):
                    await service.lives()
        await orchestrator.comes_to(dead, "RUNNING", but=before)
        await services[dead].hang_up()
        services[dead] = _attached(node, dead)
    after = await orchestrator.services()

    expect(
        {name: info.restarts for name, info in after.items()},
        equals=dict.fromkeys(KINDS, 1),
        what="restarts of each",
    )
    old = {info.pid for info in told.values()}
    expect([pid for pid in old if not is_gone(pid)], equals=[], what="killed processes that live")


async def test_disc_6_the_pid_is_the_real_one(node: Node) -> None:
    """DISC-6: The PID that is told is that of the process at the socket, whatever happened."""
    plain, wrapped = Puppet(node.directory, "a"), Puppet(node.directory, "b")
    # A shell between the orchestrator and the service: what it started is not what serves.
    shell = ["sh", "-c", '"$@" & wait', "sh", *wrapped.command()]
    orchestrator = await node.orchestrate(
        {"services": {"a": plain.entry(version="1.0.0"), "b": {"command": shell}}}
    )
    await _expect_real(node, orchestrator, {"a@1.0.0": plain, "b": wrapped})

    pid = (await orchestrator.get("a")).pid
    os.kill(pid, signal.SIGKILL)
    await orchestrator.comes_to("a", "RUNNING", but=pid)
    await _expect_real(node, orchestrator, {"a@1.0.0": plain, "b": wrapped})

    await orchestrator.restart("b")
    rolled = await orchestrator.roll("a", "2.0.0")
    expect((rolled.code, rolled.message), equals=("OK", ""), what="status of RollService")
    await _expect_real(node, orchestrator, {"a@2.0.0": plain, "b": wrapped})

    halted = await orchestrator.halt("a")
    expect(halted.code, equals="OK", what="code of StopService")
    expect((await orchestrator.get("a")).pid, equals=0, what="PID of a service that was stopped")


async def _expect_real(node: Node, orchestrator: Orchestrator, puppets: dict[str, Puppet]) -> None:
    """Compare what is told with who is at the sockets, and with what the services say."""
    await orchestrator.all_run(*(puppet.name for puppet in puppets.values()))

    async def told() -> bool:
        infos = await orchestrator.services()
        return all(infos[puppet.name].pid for puppet in puppets.values())

    await until(told, bound=DEADLINE, what="a PID is told of each")
    infos = await orchestrator.services()
    for label, puppet in puppets.items():
        at_socket = peer_credentials(node.socket(label))[0]
        expect(
            (infos[puppet.name].pid, puppet.moments("starts")[-1].pid),
            equals=(at_socket, at_socket),
            what=f"PID that is told of {label}, and that the process itself tells",
        )
