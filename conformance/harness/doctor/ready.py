"""The steps from a command to SERVING, alike for every role."""

import asyncio
import shlex
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from .. import bounds
from ..addresses import Address, UnixAddress
from ..calls import Answer
from ..health import SERVING
from ..judging import NonConformance
from ..nodes import Node, identity_of_file, peer_credentials
from ..processes import Process, environment
from ..service import ServedProcess
from . import causes
from .rules import HTTP2, IN_TIME, PORT, READY, SOCKET, Rule
from .walk import BrokenRule, Step, Walk

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes((0, 0, 0, causes.SETTINGS_TYPE, 0, 0, 0, 0, 0))
"""A frame without a setting."""

_HEAD = 9
"""Bytes of the head of a frame (RFC 9113, 4.1)."""

_SETTING = 6
"""Bytes of one setting."""

_GREETING = 0.1
"""Seconds for a server that speaks first: most wait for the preface, which is as good."""

_BETWEEN_CHECKS = 0.05
"""Seconds: a service that has not come so far is not to be kept busy by who waits for it."""

_SHOWN = 24
"""Bytes of what is no HTTP/2 that are shown."""


async def becomes_ready(walk: Walk, node: Node, service: ServedProcess, own: Rule = SOCKET) -> None:
    """Follow a process that was just started until it says SERVING.

    Args:
        walk: takes the steps.
        node: whose process it is.
        service: the process.
        own: the rule that says where its socket is.

    Raises:
        Found: a rule is broken.
    """
    async with walk.step("command starts", READY) as step:
        show_start(step, node, service.process)
    async with walk.step(f"{service.path.name} is there", own) as step:
        await _socket_is_there(step, service, node.start_timeout, own)
    local = UnixAddress(service.path)
    async with walk.step("socket accepts", READY) as step:
        await _accepts(step, service, local, node.start_timeout)
    async with walk.step("HTTP/2 is spoken", HTTP2) as step:
        await _speaks(step, local, service, node.start_timeout, HTTP2)
    if service.address != local:
        async with walk.step(
            "port speaks HTTP/2 by mutual TLS",
            PORT,
            "it does not listen at `services.NAME.tcp`, or without TLS",
            "it shows another certificate than `tls.cert_file`, or trusts another authority than"
            " `tls.ca_file`",
        ) as step:
            await _accepts(step, service, service.address, node.start_timeout)
            await _speaks(step, service.address, service, node.start_timeout, PORT)
    async with walk.step("health is SERVING", READY) as step:
        await _serves(step, service, node.start_timeout)


def show_start(step: Step, node: Node, process: Process) -> None:
    """Show how a process was started: all that it takes to do the same by hand."""
    config = config_of(process)
    step.show("command", process.command)
    step.show("directory", node.implementation.cwd)
    step.show("environment", shlex.join(_environment(node)))
    step.show("configuration", config.read_text(encoding="utf-8") if config.is_file() else config)


def config_of(process: Process) -> Path:
    """Return the configuration file that a process was started with."""
    words = shlex.split(process.command)
    return Path(words[words.index("--config") + 1])


def by_hand(node: Node, process: Process, config: Path) -> str:
    """Return the command line that starts a process again, with the file where it is kept."""
    command = process.command.replace(str(config_of(process)), str(config))
    if env := node.implementation.env:
        assigned = shlex.join(f"{name}={value}" for name, value in env.items())
        command = f"env {assigned} {command}"
    return f"cd {shlex.quote(str(node.implementation.cwd))} && {command}"


async def _socket_is_there(
    step: Step, service: ServedProcess, start_timeout: float, rule: Rule
) -> None:
    path = service.path

    def there() -> bool:
        _runs(service.process, READY, f"a socket at {path}")
        return identity_of_file(path) is not None

    if not await _within(start_timeout, there):
        listening, entries = _listens_at(service.process), _entries(path.parent)
        raise BrokenRule(
            rule,
            f"a socket at {path}",
            f"none after {start_timeout:g} s; the process runs, {_directory(path.parent)}",
            causes.of_no_socket(listening, entries),
        )
    if not path.is_socket():
        found = identity_of_file(path)
        raise BrokenRule(
            rule,
            f"a socket at {path}",
            f"a file of another kind ({found[0] if found else 'gone'})",
            ["it writes a file (a PID, a lock) where its socket belongs"],
        )
    step.show("directory", _directory(path.parent))


async def _accepts(
    step: Step, service: ServedProcess, address: Address, start_timeout: float
) -> None:
    def accepted() -> bool:
        _runs(service.process, READY, "a connection that is accepted")
        return address.accepts()

    if not await _within(start_timeout, accepted):
        raise BrokenRule(
            READY,
            f"a connection to {address} that is accepted",
            f"refused for {start_timeout:g} s",
            ["it is bound, but nothing listens there: the server is not started, or elsewhere"],
        )
    pid, user = peer_credentials(service.path)
    step.show("connected", f"{address}; PID {pid} of user {user} listens")


async def _speaks(
    step: Step, address: Address, service: ServedProcess, start_timeout: float, rule: Rule
) -> None:
    wait = min(start_timeout, bounds.DEADLINE) + bounds.JITTER.seconds
    step.show("sent", "HTTP/2 preface, and an empty SETTINGS")
    begin = time.monotonic()
    first, closed = b"", False
    try:
        async with asyncio.timeout(wait):
            reader, writer = await address.connect()
            try:
                _look_at_tls(step, writer.get_extra_info("ssl_object"))
                # Written to, who speaks first and closes could not be heard any more.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GREETING):
                        first = await reader.read(_SHOWN)
                        closed = not first
                if not closed:
                    writer.write(PREFACE + SETTINGS)
                while len(first) < _HEAD and (more := await reader.read(_SHOWN)):
                    first += more
                closed = len(first) < _HEAD
            finally:
                writer.transport.abort()
    except TimeoutError:
        pass
    except OSError as error:
        _runs(service.process, rule, "an answer to the preface")
        if not isinstance(error, ConnectionError):
            raise BrokenRule(rule, "a connection", f"{type(error).__name__}: {error}") from None
        closed = True
    if _is_settings(first):
        step.show("received", f"SETTINGS, {int.from_bytes(first[:3])} bytes")
        return
    _runs(service.process, rule, "an answer to the preface")
    after = f"{time.monotonic() - begin:.2f} s"
    observed = (
        f"{first!r}, no frame of HTTP/2"
        if first
        else f"nothing for {after}, and the connection open"
    )
    if closed and not first:
        observed = f"the connection was closed after {after}, without a byte"
    raise BrokenRule(
        rule,
        "SETTINGS, HTTP/2's first frame",
        observed,
        causes.of_first_bytes(first, closed=closed),
    )


def _look_at_tls(step: Step, tls: Any) -> None:
    """Make sure that a connection by TLS, if it is one, speaks HTTP/2.

    Raises:
        BrokenRule: it speaks something else.
    """
    if tls is None:
        return
    chosen = tls.selected_alpn_protocol()
    step.show("TLS", f"{tls.version()}, ALPN {chosen}")
    if chosen != "h2":
        raise BrokenRule(PORT, "ALPN h2", f"ALPN {chosen}", ["h2 is not chosen by ALPN"])


def _is_settings(first: bytes) -> bool:
    return (
        len(first) >= _HEAD
        and first[3] == causes.SETTINGS_TYPE
        and first[5:_HEAD] == bytes(4)
        and int.from_bytes(first[:3]) % _SETTING == 0
    )


async def _serves(step: Step, service: ServedProcess, start_timeout: float) -> None:
    step.show("request", f'/grpc.health.v1.Health/Check {{service: "{service.NAME}"}}')
    last: list[Answer] = []

    async def serving() -> bool:
        _runs(service.process, READY, "an answer of Check")
        last[:] = [await service.check()]
        return last[0].code == "OK" and last[0].response.status == SERVING

    if await _within(start_timeout, serving, every=_BETWEEN_CHECKS):
        step.show("answer", said(last[0]))
        return
    if not last:
        raise BrokenRule(
            READY,
            "status SERVING",
            "no answer at all, past the deadline of the call",
            ["all threads of the server are busy or blocked", "the process is stopped"],
        )
    answer = last[0]
    status, echoed = "", False
    if answer.code == "OK":
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.response.status)
        request = health_pb2.HealthCheckRequest(service=service.NAME)
        echoed = answer.response.SerializeToString() == request.SerializeToString()
    raise BrokenRule(
        IN_TIME if status == "NOT_SERVING" else READY,
        "status SERVING",
        f"{'OK with the request given back' if echoed else said(answer)} after {start_timeout:g} s",
        causes.of_health(answer.code, echoed=echoed, status=status),
    )


async def _within(bound: float, fact: Any, every: float = bounds.POLL) -> bool:
    """Tell whether a fact comes to hold; the host's own delays do not count.

    Raises:
        Inconclusive: it did not, but the host stalled.
    """
    try:
        return bool(await bounds.until(fact, bound=bound, what="readiness", every=every))
    except NonConformance:
        return False


def _runs(process: Process, rule: Rule, expected: str) -> None:
    """Make sure that a process has not ended.

    Raises:
        BrokenRule: it has.
    """
    if process.alive:
        return
    status = process.status or 0
    lasted = time.monotonic() - process.started
    printed = process.stdout + process.stderr
    raise BrokenRule(
        rule,
        expected,
        f"the process ended after {lasted:.2f} s, with {causes.ending(status)}"
        + ("" if printed.strip() else ", and printed nothing"),
        causes.of_an_end(status, printed),
    )


def said(answer: Answer) -> str:
    """Return an answer in a line."""
    if answer.code != "OK":
        return f"{answer.code} {answer.message!r}"
    return f"OK {brief(answer.response)}"


def brief(message: Any) -> str:
    """Return a message in a line."""
    if not isinstance(message, Message):
        return repr(message)
    text = " ".join(str(message).split())
    return f"{{{text}}}" if text else "with an empty message"


def _environment(node: Node) -> list[str]:
    return [f"{name}={value}" for name, value in environment(node.implementation.env).items()]


def _entries(directory: Path) -> list[str]:
    try:
        return sorted(
            f"{file.name} ({stat.filemode(file.lstat().st_mode)})" for file in directory.iterdir()
        )
    except OSError:
        return []


def _directory(directory: Path) -> str:
    if not directory.is_dir():
        return f"there is no directory {directory}"
    return f"{directory} holds {', '.join(_entries(directory)) or 'nothing'}"


def _listens_at(process: Process) -> list[str]:
    """Return where a process and its children listen."""
    found = set[str]()
    for member in process.family():
        with suppress(psutil.Error):
            for one in member.net_connections("all"):
                bound: Any = one.laddr  # a path, or host and port
                if isinstance(bound, str):
                    found.update({bound} - {""})
                elif bound and one.status == psutil.CONN_LISTEN:
                    found.add(f"{bound.ip}:{bound.port}")
    return sorted(found)
