"""The steps after SERVING: the first call, the log, the end, and what must be refused."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.message import Message

from .. import bounds, logs
from ..answers import Answer, Metadata
from ..calls import Channel, Stream
from ..judging import NonConformance
from ..nodes import Node
from ..processes import outliving
from ..service import ServedProcess
from . import causes
from .ready import brief, said
from .rules import LOG, START_ERROR, STOP, UNKNOWN_FIELD
from .walk import BrokenRule, Step, Walk

UNKNOWN = "no_such_field"

_FIELDS = ("time", "level", "message", "service")
"""What each line of the log holds."""

_SHOWN_LINES = 3


class Overheard(Channel):
    """A channel that shows in a step what is called and answered."""

    def __init__(self, service: ServedProcess, step: Step, metadata: Metadata = ()) -> None:
        """Lead to where the service is called."""
        super().__init__(service.address, metadata=metadata)
        self._step = step

    async def unary(
        self, path: str, request: Message | bytes, response_type: type[Message] | None, **how: Any
    ) -> Answer:
        """Call, and show both."""
        asked = f"{path} {brief(request)}"
        answer = await super().unary(path, request, response_type, **how)
        # Who waits for something asks for it again and again: the last answer says it all.
        if self._step.details[-2:-1] == [("request", asked)]:
            del self._step.details[-2:]
        self._step.show("request", asked)
        self._step.show("answer", said(answer))
        return answer

    async def streamed(
        self, path: str, requests: Any, response_type: type[Message], **how: Any
    ) -> Answer:
        """Call with a stream, and show how it was answered."""
        self._step.show("request", f"{path} with a stream of messages")
        answer = await super().streamed(path, requests, response_type, **how)
        self._step.show("answer", said(answer))
        return answer

    async def subscribe(
        self, path: str, request: Message, response_type: type[Message], **how: Any
    ) -> Stream:
        """Call for a stream of answers, and show that it stands."""
        self._step.show("request", f"{path} {brief(request)}")
        stream = await super().subscribe(path, request, response_type, **how)
        self._step.show("answer", "a stream of messages")
        return stream


@asynccontextmanager
async def overheard(
    service: ServedProcess, step: Step, metadata: Metadata = ()
) -> AsyncIterator[None]:
    """Show what the suite calls meanwhile."""
    own, service.channel = service.channel, Overheard(service, step, metadata)
    try:
        yield
    finally:
        await service.channel.close()
        service.channel = own


async def look_at_log(walk: Walk, service: ServedProcess, *, claimed: bool) -> None:
    """Read what a process wrote until it ended; where `observability` is not claimed, only tell.

    Raises:
        Found: a line is none of a log, and that is claimed.
    """
    async with walk.step("standard error is a log", LOG) as step:
        process = service.process
        if printed := process.stdout.splitlines():
            step.warn(
                "nobody reads standard output, and the log belongs on standard error;"
                f" printed there: {printed[0]!r}"
            )
        lines = process.stderr.splitlines()
        problem = _first_fault(lines, service.NAME)
        step.show("lines", f"{len(lines)}" + "".join(f"\n{one}" for one in lines[:_SHOWN_LINES]))
        if problem and claimed:
            raise BrokenRule(
                LOG, f"objects with {', '.join(_FIELDS)}, one a line", problem, causes.PLAIN
            )
        if problem:
            step.warn(f"{problem}; that is judged where `observability` is claimed")


def _first_fault(lines: Iterable[str], service: str) -> str:
    return next((told for n, line in enumerate(lines, 1) if (told := _fault(n, line, service))), "")


def _fault(number: int, line: str, service: str) -> str:
    """Return what is wrong with a line of the log; empty: nothing."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return f"line {number} is no JSON object: {line[:200]!r}"
    if missing := [name for name in _FIELDS if name not in found]:
        return f"line {number} is without {', '.join(missing)}: {line[:200]!r}"
    wrong = {
        "level": found["level"] not in logs.LEVELS,
        "time": logs.written_at(found) is None,
        "service": found["service"] != service,
    }
    return ", ".join(
        f"line {number} has the {name} {found[name]!r}" for name in wrong if wrong[name]
    )


async def ends(walk: Walk, node: Node, service: ServedProcess) -> None:
    """End a process by SIGTERM.

    Raises:
        Found: it does not, not in time, not with status 0, or leaves children behind.
    """
    async with walk.step("SIGTERM ends it", STOP) as step:
        family = service.process.family()
        step.show("sent", f"SIGTERM to PID {service.process.pid}")
        limit = f"exit status 0 within the grace period of {service.grace:g} s"
        try:
            ended = await service.stop()
        except NonConformance as problem:
            raise BrokenRule(STOP, limit, problem.observed, causes.IGNORED) from None
        step.show("exit status", f"{ended.status} after {ended.elapsed:.2f} s")
        if ended.status != 0:
            how = causes.ending(ended.status)
            raise BrokenRule(STOP, limit, f"it ended by {how}", causes.of_an_exit(ended.status))
        if left := await outliving(family):
            raise BrokenRule(
                STOP,
                "no process of it left",
                "\n".join(left),
                ["a child is not ended and waited for"],
            )
        step.show(
            "directory", f"{node.socket_dir} holds {', '.join(node.leftovers()) or 'nothing'}"
        )


async def refuses_unknown_field(
    walk: Walk, node: Node, role: Iterable[str], settings: dict[str, Any]
) -> None:
    """Start a process with a field that does not exist, where it must refuse to start.

    Raises:
        Found: it starts, or does not name the field.
    """
    async with walk.step("an unknown field is refused", UNKNOWN_FIELD) as step:
        config = node.write_unchecked(settings | {UNKNOWN: 1})
        process = node.run(*role, "--config", str(config))
        step.show("command", process.command)
        step.show("configuration", f'as before, and "{UNKNOWN}": 1')
        expected = f"exit status other than 0 within {bounds.START_ERROR:g} s"
        try:
            ended = await process.ended(bounds.START_ERROR)
        except NonConformance:
            await process.kill()
            raise BrokenRule(
                UNKNOWN_FIELD, expected, "it runs as if nothing were wrong", [causes.LENIENT]
            ) from None
        if ended.status == 0:
            raise BrokenRule(START_ERROR, expected, "exit status 0", [causes.SILENT])
        words = (UNKNOWN, "noSuchField")
        if not ended.says(*words):
            raise BrokenRule(
                START_ERROR, f"a line of standard error that holds {UNKNOWN}",
                f"exit status {ended.status}, and {_last(ended.stderr)}", [causes.SILENT],
            )  # fmt: skip
        step.show("exit status", f"{ended.status} after {ended.elapsed:.2f} s")
        step.show("its words", _last(ended.stderr))


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return f"standard error ends {lines[-1]!r}" if lines else "nothing on standard error"
