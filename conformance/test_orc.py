"""Chapter 13: the orchestrator starts, watches and replaces services (ORC-1 to ORC-6, ORC-13)."""

import itertools
import os
import signal
from typing import Any

from .harness.bounds import PROMPT, until
from .harness.history import expect_elapsed
from .harness.judging import did, expect
from .harness.nodes import Node, peer_credentials
from .harness.orchestrator import SETTLES, Puppet, health_of, is_gone, shown, state_of

INTERVAL, TIMEOUT = 0.2, 0.5
"""Seconds: `health.interval` and `health.timeout`, as the suite configures them."""

BACKOFF, LONGEST = 0.1, 0.3
"""Seconds: `restart_backoff` and `max_restart_backoff` (ORC-6)."""

START = 2.0
"""Seconds: `start_timeout`, in which a service that can serve does on a busy host too (ORC-13)."""

NOTICED = 1.0
"""Seconds beyond the configured times until something is done (CONFORMANCE.md, chapter 13)."""


def settings(*puppets: Puppet, **entries: Any) -> dict[str, Any]:
    """Return the services of a configuration: puppets as they are, or described."""
    return {"services": {puppet.name: puppet.entry() for puppet in puppets} | entries}


async def test_orc_1_services_start_after_those_that_they_depend_on(node: Node) -> None:
    """ORC-1: Every service is started, after its dependencies said SERVING, and not before."""
    first, second, third, alone = (Puppet(node.directory, name) for name in ("z", "b", "a", "x"))
    orchestrator = node.begin_orchestrator(
        settings(
            alone,
            a=third.entry(dependencies=["b", "z"]),
            b=second.entry("--after", "0.1", dependencies=["z"]),
            z=first.entry("--after", "0.8"),
        )
    )
    await orchestrator.ready(node.start_timeout)

    told = await orchestrator.services()
    expect(
        {name: state_of(info) for name, info in told.items()},
        equals=dict.fromkeys(("a", "b", "x", "z"), "RUNNING"),
        what="states once the orchestrator says SERVING",
    )
    starts = {one.name: one.moments("starts")[0].time for one in (first, second, third, alone)}
    serves = {one.name: one.moments("serves")[0].time for one in (first, second, third, alone)}
    did(f"they started at {starts}, and were SERVING at {serves}")
    expect(starts["b"], at_least=serves["z"], what="start of b, which depends on z")
    expect(starts["a"], at_least=max(serves["b"], serves["z"]), what="start of a, on b and z")
    expect(starts["x"], at_most=serves["z"], what="start of x, which depends on nobody")
    expect(
        {one.name: len(one.moments("starts")) for one in (first, second, third, alone)},
        equals=dict.fromkeys("zbax", 1),
        what="starts of each",
    )


async def test_orc_2_health_is_asked_for_each_interval(node: Node) -> None:
    """ORC-2: Each service is checked each interval; a check that takes too long has failed."""
    puppet = Puppet(node.directory, "a")
    orchestrator = await node.orchestrate(settings(puppet))
    before = await orchestrator.comes_to("a", "RUNNING")
    served = puppet.moments("serves")[0].time

    await until(
        lambda: sum(one.time > served for one in puppet.moments("checks")) >= 5,
        bound=5 * INTERVAL + NOTICED,
        what="five further checks",
    )
    times = [one.time for one in puppet.moments("checks") if one.time >= served][:6]
    did(f"checks came at {[f'{time - served:.3f}' for time in times]}")
    expect_elapsed(
        times[-1] - times[0],
        since=times[0],
        at_least=3 * INTERVAL,
        at_most=5 * INTERVAL,
        what="time of five checks",
    )

    puppet.say("HANG")
    count = len(puppet.moments("checks"))
    await until(
        lambda: len(puppet.moments("checks")) > count, bound=INTERVAL + NOTICED, what="the next"
    )
    hung = puppet.moments("checks")[-1].time
    await until(
        lambda: len(puppet.moments("starts")) > 1,
        bound=TIMEOUT + NOTICED,
        what="another process is started",
    )
    expect_elapsed(
        puppet.moments("starts")[1].time - hung,
        since=hung,
        at_least=TIMEOUT,
        at_most=TIMEOUT + NOTICED,
        what="time from a check that hangs to another process",
    )
    expect(is_gone(before.pid), equals=True, what="whether the hung process is gone")


async def test_orc_3_a_dead_process_is_replaced(node: Node) -> None:
    """ORC-3: A process that dies is replaced, and the new PID is told."""
    killed, other = (Puppet(node.directory, name) for name in "ab")
    orchestrator = await node.orchestrate(settings(killed, other))
    before = await orchestrator.all_run("a", "b")

    os.kill(before["a"].pid, signal.SIGKILL)
    did(f"killed process {before['a'].pid}")
    after = await orchestrator.comes_to(
        "a", "RUNNING", but=before["a"].pid, bound=NOTICED + SETTLES
    )

    expect(
        [one.pid for one in killed.moments("starts")],
        equals=[before["a"].pid, after.pid],
        what="processes of a, as they say themselves",
    )
    expect(peer_credentials(node.socket("a"))[0], equals=after.pid, what="process at its socket")
    expect(after.restarts, equals=1, what="restarts that are told")
    expect(
        (await orchestrator.get("b")).pid, equals=before["b"].pid, what="process of the other one"
    )


async def test_orc_4_a_process_that_hangs_is_replaced(node: Node) -> None:
    """ORC-4: A process that is stopped is found by its health check, and replaced."""
    puppet = Puppet(node.directory, "a")
    orchestrator = await node.orchestrate(settings(puppet))
    before = await orchestrator.comes_to("a", "RUNNING")

    os.kill(before.pid, signal.SIGSTOP)
    did(f"sent SIGSTOP to process {before.pid}")
    after = await orchestrator.comes_to(
        "a", "RUNNING", but=before.pid, bound=INTERVAL + TIMEOUT + NOTICED
    )

    expect(peer_credentials(node.socket("a"))[0], equals=after.pid, what="process at its socket")
    await until(
        lambda: is_gone(before.pid),
        bound=PROMPT,
        what="the process that hung is gone",
    )


async def test_orc_5_a_service_that_does_not_serve_is_replaced(node: Node) -> None:
    """ORC-5: NOT_SERVING is told at once, and replaced after as many failures as configured."""
    puppet = Puppet(node.directory, "a")
    health = {"health": {"failure_threshold": 3}}
    orchestrator = await node.orchestrate(settings(puppet) | health)
    before = await orchestrator.comes_to("a", "RUNNING")
    stream = await orchestrator.watch()
    await stream.next()

    puppet.say("NOT_SERVING")
    count = len(puppet.moments("checks"))
    changed = (await stream.next()).service
    stream.cancel()
    expect(
        (changed.name, health_of(changed), state_of(changed), changed.pid),
        equals=("a", "NOT_SERVING", "RUNNING", before.pid),
        what="(name, health, state, process) that is told first",
    )
    await until(
        lambda: len(puppet.moments("stops")) > 0,
        bound=3 * INTERVAL + NOTICED,
        what="the process is told to stop",
    )
    stopped = puppet.moments("stops")[0]
    checks = [one for one in puppet.moments("checks")[count:] if one.pid == before.pid]
    # One may have been answered between the word and the count.
    expect(len(checks), one_of=[2, 3], what=f"checks of process {stopped.pid} until then")
    puppet.say("SERVING")
    after = await orchestrator.comes_to("a", "RUNNING", but=before.pid)
    expect(health_of(after), equals="SERVING", what="health of the new process")


async def test_orc_6_restarts_back_off_and_end(node: Node) -> None:
    """ORC-6: Restarts back off exponentially up to the maximum, and end in state FAILED."""
    doomed, other = (Puppet(node.directory, name) for name in "ab")
    restarts = {
        "restart_backoff": f"{BACKOFF}s",
        "max_restart_backoff": f"{LONGEST}s",
        "max_restarts": 4,
    }
    orchestrator = node.begin_orchestrator(
        settings(other, a=doomed.entry("--exits", "7")) | {"orchestrator": restarts}
    )
    await until(orchestrator.accepts, bound=node.start_timeout, what="the socket accepts")

    failed = await orchestrator.comes_to("a", "FAILED")
    times = [one.time for one in doomed.moments("starts")]
    delays = [late - early for early, late in itertools.pairwise(times)]
    did(f"it was started after {[f'{delay:.3f}' for delay in delays]} s")
    expect(len(times), equals=5, what="starts: the first, and max_restarts more")
    for number, (delay, least) in enumerate(
        zip(delays, (BACKOFF, 2 * BACKOFF, LONGEST, LONGEST), strict=True), 1
    ):
        expect_elapsed(
            delay,
            since=times[number - 1],
            at_least=least,
            at_most=least + NOTICED,
            what=f"time from start {number} to the next",
        )
    expect(failed.pid, equals=0, what="PID of a service that FAILED")
    expect(bool(failed.detail), equals=True, what=f"why, in words: {shown(failed)}")
    await orchestrator.ready(node.start_timeout)
    expect(state_of(await orchestrator.get("b")), equals="RUNNING", what="state of the other one")
    expect(len(doomed.moments("starts")), equals=5, what="starts, once the node has settled")


async def test_orc_13_a_service_that_never_serves_has_failed(node: Node) -> None:
    """ORC-13: A service that is not SERVING in time FAILED, with an error that names it."""
    never, waits, other = (Puppet(node.directory, name) for name in ("never", "waits", "other"))
    orchestrator = node.begin_orchestrator(
        settings(other, never=never.entry("--never"), waits=waits.entry(dependencies=["never"]))
        | {"orchestrator": {"start_timeout": f"{START}s"}}
    )
    await until(orchestrator.accepts, bound=node.start_timeout, what="the socket accepts")

    failed = await orchestrator.comes_to("never", "FAILED", bound=START + NOTICED)

    expect(len(never.moments("starts")), equals=1, what="starts of it")
    told = await orchestrator.services()
    expect(
        {name: state_of(info) for name, info in told.items()},
        equals={"never": "FAILED", "waits": "WAITING", "other": "RUNNING"},
        what="states of all services",
    )
    expect(
        "never" in told["waits"].detail, equals=True, what="whether `waits` names who is missing"
    )
    pid = never.moments("starts")[0].pid
    await until(lambda: is_gone(pid), bound=PROMPT, what="its process is gone")
    expect(
        [line for line in orchestrator.process.stderr.splitlines() if "never" in line] != [],
        equals=True,
        what=f"a line of standard error names the service that FAILED ({failed.detail})",
    )
