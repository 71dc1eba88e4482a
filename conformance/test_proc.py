"""Chapter 1: the process model (PROC-3 to PROC-9)."""

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blackhole.identity.v1 import identity_pb2 as pb

from .harness import reflection
from .harness.bounds import PROMPT, STOP, until
from .harness.calls import parsed
from .harness.disk import read_only
from .harness.identity import NOT_SERVING, SERVICE, SERVING, Identity
from .harness.judging import did, expect
from .harness.ledger import Ledger
from .harness.nodes import Node
from .harness.processes import Streams
from .harness.raw import RawConnection
from .harness.storage import Storage

CREATE = f"/{SERVICE}/CreateDID"

NEVER_SERVES = pytest.mark.transports("unix")
"""For processes that end before they listen anywhere: no transport makes a difference."""

FOREIGN = ("blackhole.storage.", "blackhole.ledger.", "blackhole.events.")
"""Packages of the architecture's other services."""


async def test_proc_3_serving_is_said_once_calls_are_served(node: Node) -> None:
    """PROC-3: SERVING is said once calls are served, and never before."""
    service = node.begin()

    await until(service.accepts, bound=node.start_timeout, what="the socket accepts", every=0.001)
    checked = await service.check()
    created = await service.call_on(
        service.connect(), "CreateDID", pb.CreateDIDRequest(method="key")
    )
    did("called CreateDID on a new connection at the first SERVING")
    schema = await reflection.read(service.channel)

    expect(
        (checked.code, checked.response and checked.response.status),
        equals=("OK", SERVING),
        what="the first Check after the socket accepted",
    )
    expect((created.code, created.message), equals=("OK", ""), what="the first call after SERVING")
    expect(SERVICE in schema.services, equals=True, what=f"{SERVICE} is listed")
    expect(
        [name for name in schema.services if name.startswith(FOREIGN)],
        equals=[],
        what="other services of the architecture in this process",
    )
    expect(service.process.alive, equals=True, what="the started process is still the child")


BROKEN: dict[str, tuple[Any, tuple[str, ...]]] = {
    "not-json": ("{", ("config", "line", "1:")),
    "unknown-field": ({"no_such_field": 1}, ("no_such_field", "noSuchField")),
    "unknown-nested-field": ({"limits": {"no_such_field": 1}}, ("no_such_field", "noSuchField")),
    "wrong-type": ({"grace_period": ["x"]}, ("grace_period", "gracePeriod")),
    "negative-duration": ({"grace_period": "-1s"}, ("grace_period", "gracePeriod")),
    "zero-maximum": (
        {"limits": {"max_message_bytes": 0}},
        ("max_message_bytes", "maxMessageBytes"),
    ),
    "no-entry": ({"services": None}, ("services",)),
    "data-dir-below-a-file": ({"data_dir": "{file}/data"}, ("data_dir", "dataDir")),
}
"""What is wrong with the configuration, and the words of which one must be in the message."""


@NEVER_SERVES
@pytest.mark.parametrize("case", BROKEN)
async def test_proc_4_a_broken_configuration_is_refused_by_field(control: Node, case: str) -> None:
    """PROC-4: A configuration that cannot be used is refused, and the field is named."""
    change, words = BROKEN[case]

    ended = await control.refused("service", "identity", "--config", str(_broken(control, change)))

    expect(ended.says(*words), equals=True, what=f"a line of standard error holds one of {words}")
    expect(control.leftovers(), equals=[], what="files left in socket_dir")


@NEVER_SERVES
async def test_proc_4_a_data_dir_for_reading_alone_is_refused(node: Node) -> None:
    """PROC-4: A service that cannot write below data_dir says so at its start."""
    platform = "platform" in node.implementation.profiles
    kinds = [Identity, Ledger, Storage] if platform else [Identity]
    for kind in kinds:
        await (await node.serve(kind)).stop()
    did(f"the control: started and stopped {[kind.NAME for kind in kinds]}")

    with read_only(node.data_dir) as wrapper:
        for kind in kinds:
            config = str(node.write(node.settings(services=[kind.NAME])))
            ended = await node.refused("service", kind.NAME, "--config", config, wrapper=wrapper)
            words = ("data_dir", "dataDir", str(node.data_dir))
            expect(
                ended.says(*words),
                equals=True,
                what=f"a line of {kind.NAME}'s standard error holds one of {words}",
            )
    expect(node.leftovers(), equals=[], what="files left in socket_dir")


@NEVER_SERVES
async def test_proc_4_a_missing_configuration_is_refused_by_path(control: Node) -> None:
    """PROC-4: A configuration file that is not there is refused, and its path is named."""
    missing = str(control.directory / "missing.json")

    ended = await control.refused("service", "identity", "--config", missing)

    expect(ended.says(missing), equals=True, what=f"a line of standard error holds {missing}")
    expect(control.leftovers(), equals=[], what="files left in socket_dir")


@NEVER_SERVES
@pytest.mark.parametrize("words", [("service", "no-such-service"), ("no-such-command",)])
async def test_proc_5_an_unknown_word_is_refused_by_name(
    control: Node, words: tuple[str, ...]
) -> None:
    """PROC-5: An unknown service or command is refused, and named."""
    config = str(control.write(control.settings({"services": {"no-such-service": {}}})))

    ended = await control.refused(*words, "--config", config)

    expect(ended.says(words[-1]), equals=True, what=f"a line of standard error holds {words[-1]}")
    expect(control.leftovers(), equals=[], what="files left in socket_dir")


async def test_proc_6_sigterm_drains(node: Node) -> None:
    """PROC-6: SIGTERM lets calls in flight finish, refuses new ones, and ends with status 0."""
    service = await node.start()
    watch = await service.watch()
    expect((await watch.next()).status, equals=SERVING, what="health before SIGTERM")

    async with RawConnection(service.address) as raw:
        held = await raw.hold(CREATE, pb.CreateDIDRequest(method="held"))
        did("held a CreateDID half-sent")
        service.process.signal(signal.SIGTERM)
        statuses, _ = await watch.rest()
        await until(lambda: not service.accepts(), bound=PROMPT, what="the socket is gone")
        late = await service.call_on(
            service.connect(), "CreateDID", pb.CreateDIDRequest(method="late")
        )
        expect(held.answer.over, equals=False, what="the held call ended before it was released")
        answer = await held.release()
        did("released the held call")

    ended = await service.process.ended(service.grace)
    expect(
        [message.status for message in statuses],
        equals=[NOT_SERVING],
        what="what the Watch said after SIGTERM",
    )
    expect(late.code, equals="UNAVAILABLE", what="a new call while draining")
    expect(answer.grpc_status, equals="0", what="status of the held call")
    expect(ended.status, equals=0, what="exit status")
    expect(ended.elapsed, at_most=service.grace, what="seconds from SIGTERM to the end")
    expect(node.leftovers(), equals=[], what="files left in socket_dir")
    created = parsed(answer.messages()[0], pb.CreateDIDResponse)
    again = await node.start()
    document = await again.resolve(created.did)
    expect(document.did, equals=created.did, what="the held call's DID after a restart")


async def test_proc_7_the_grace_period_has_an_end(node: Node) -> None:
    """PROC-7: Calls still running when the grace period ends are cancelled."""
    service = await node.start({"grace_period": "0.5s"})
    watch = await service.watch()
    await watch.next()
    events = await service.events()

    async with RawConnection(service.address) as raw:
        held = await raw.hold(CREATE, pb.CreateDIDRequest(method="held"))
        did("held a CreateDID half-sent, and never sent the rest")
        before = time.monotonic()
        service.process.signal(signal.SIGTERM)
        await raw.over(held.stream, bound=0.5 + STOP)
        elapsed = time.monotonic() - before

    ended = await service.process.ended(STOP)
    await events.ended()
    expect(elapsed, at_least=0.5, what="seconds from SIGTERM to the end of the held call")
    expect(ended.status, equals=0, what="exit status")
    expect(node.leftovers(), equals=[], what="files left in socket_dir")


async def test_proc_8_a_second_sigterm_cuts_nothing_short(node: Node) -> None:
    """PROC-8: A second SIGTERM while draining cuts nothing short."""
    service = await node.start()

    async with RawConnection(service.address) as raw:
        held = await raw.hold(CREATE, pb.CreateDIDRequest(method="held"))
        service.process.signal(signal.SIGTERM)
        await until(lambda: not service.accepts(), bound=PROMPT, what="the socket is gone")
        service.process.signal(signal.SIGTERM)
        # A call that both signals left alone is answered; one that was cut off is not.
        answer = await held.release()
        ended = await service.process.ended(service.grace)

    expect(answer.grpc_status, equals="0", what="status of the held call")
    expect(ended.status, equals=0, what="exit status")


async def test_proc_8_sigterm_during_start_up_leaves_nothing(node: Node) -> None:
    """PROC-8: SIGTERM during start-up ends the process cleanly at any moment."""
    before = time.monotonic()
    await (await node.start()).stop()
    usual = time.monotonic() - before
    did(f"the usual start takes {usual * 1000:.0f} ms")

    for part in range(5):
        service = node.begin()
        await asyncio.sleep(usual * part / 5)  # the moment itself is what varies here
        service.process.signal(signal.SIGTERM)
        ended = await service.process.ended(service.grace + STOP)
        expect(
            ended.status,
            one_of=[0, -signal.SIGTERM],
            what=f"exit status, signalled after {part}/5 of a start",
        )
        expect(node.leftovers(), equals=[], what=f"files left in socket_dir ({part}/5)")

    again = await node.start()
    await again.lives()


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """A pipe that takes no byte more, and that nobody reads."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
    try:
        while True:
            os.write(writer, b"x" * 65536)
    except BlockingIOError:
        fcntl.fcntl(writer, fcntl.F_SETFL, 0)
    yield writer
    os.close(reader)
    os.close(writer)


async def test_proc_9_a_full_log_pipe_never_blocks_serving(node: Node, full_pipe: int) -> None:
    """PROC-9: A log that nobody reads does not stop the service."""
    service = await node.start(streams=Streams(full_pipe, full_pipe))
    did("standard output and error are a full pipe that nobody reads")

    await _serves_as_always(service)


async def test_proc_9_closed_streams_never_block_serving(node: Node) -> None:
    """PROC-9: A service whose standard streams are closed serves as always."""
    service = await node.start(wrapper=("/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh"))
    did("standard output and error are closed")

    await _serves_as_always(service)


async def _serves_as_always(service: Identity) -> None:
    first = await service.create()
    for _ in range(25):
        await asyncio.gather(*(service.create() for _ in range(20)))
    failed = await asyncio.gather(
        *(service.call("CreateDID", pb.CreateDIDRequest()) for _ in range(100))
    )
    document = await service.resolve(first.did)
    service.process.signal(signal.SIGTERM)
    ended = await service.process.ended(service.grace)

    expect({answer.code for answer in failed}, equals={"INVALID_ARGUMENT"}, what="failing calls")
    expect(document.did, equals=first.did, what="the first DID")
    expect(ended.status, equals=0, what="exit status")


def _broken(node: Node, change: Any) -> Path:
    """Write a configuration with one thing wrong, which the schema itself may not allow."""
    if isinstance(change, str):
        return node.write_unchecked(change)
    file = node.directory / "file"
    file.write_text("in the way")
    settings = node.settings() | {
        name: value.replace("{file}", str(file)) if isinstance(value, str) else value
        for name, value in change.items()
    }
    return node.write_unchecked(settings)
