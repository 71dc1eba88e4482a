"""The server pipeline: what stages learn, and what becomes of an answer before it is sent."""

import asyncio
import inspect
import uuid
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from reference.mesh import aftermath
from reference.mesh.calls import SEVERAL, Authorization, Call, arrived, current_call
from reference.mesh.errors import ResourceExhaustedError
from reference.mesh.pipeline import Pipeline
from reference.mesh.stages import CallLog, Stage

from .guarded import KINDS, PROBE, as_role, guarded

PIPELINE = Pipeline([], max_message_bytes=100, min_compressed_bytes=10)


class Context:
    """What gRPC gives a handler."""

    def __init__(self) -> None:
        self.disabled = 0

    def disable_next_message_compression(self) -> None:
        self.disabled += 1


def _encoded(size: int) -> tuple[bytes, int]:
    """Encode an answer; return its bytes, and how often compression was disabled."""
    context: Any = Context()
    data = PIPELINE.encode("x" * size, str.encode, context)
    return data, context.disabled


@pytest.mark.parametrize(("size", "disabled"), [(0, 1), (9, 1), (10, 0), (100, 0)])
def test_small_answers_are_not_compressed(size: int, disabled: int) -> None:
    assert _encoded(size) == (b"x" * size, disabled)


def test_an_answer_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ResourceExhaustedError, match="101 bytes, the limit is 100"):
        _encoded(101)


class Witness(Stage):
    """Remembers what it is asked and told, under a name."""

    def __init__(self, name: str, seen: list[tuple[str, ...]]) -> None:
        self._name = name
        self._seen = seen

    def admit(self, call: Call, authorization: Authorization) -> None:
        self._seen.append((self._name, "admit", str(authorization)[:6]))
        assert "Bearer" not in repr(call)

    def done(self, calls: Sequence[Call]) -> None:
        self._seen.extend((self._name, "done", call.code) for call in calls)


BROKEN = b"\xff"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("role", "body", "code"),
    [
        ("all", b"", "OK"),
        ("all", BROKEN, "INVALID_ARGUMENT"),
        ("elsewhere", b"", "PERMISSION_DENIED"),
    ],
)
async def test_stages_are_asked_in_order_and_told_in_reverse(
    kind: str, role: str, body: bytes, code: str
) -> None:
    seen: list[tuple[str, ...]] = []
    async with guarded(more=[Witness("a", seen), Stage(), Witness("b", seen)]) as server:
        found = await server.call(f"{PROBE}/{kind}", as_role(role), body=body)
        server.pipeline.settle()

    assert found[0] == code
    asked = [("a", "admit", "Bearer"), ("b", "admit", "Bearer")]
    assert seen == [*asked, ("b", "done", code), ("a", "done", code)]


@pytest.mark.parametrize("kind", ["Unary", "ServerStream"])
async def test_a_call_that_ends_without_its_message_is_answered(kind: str) -> None:
    seen: list[tuple[str, ...]] = []
    async with guarded(more=[Witness("a", seen)]) as server:
        method: Any = server.channel.stream_unary(f"{PROBE}/{kind}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(iter(()), metadata=[as_role("all")], timeout=5)
        server.pipeline.settle()

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "invalid request: no whole message came"
    assert seen == [("a", "admit", "Bearer"), ("a", "done", "INVALID_ARGUMENT")]


@pytest.mark.parametrize(
    ("least", "code", "level"),
    [
        ("info", "OK", "info"),
        ("debug", "OK", "info"),
        ("warning", "OK", None),
        ("error", "NOT_FOUND", "error"),
        ("info", "CANCELLED", "error"),
    ],
)
def test_a_call_is_logged_with_its_duration(least: str, code: str, level: str | None) -> None:
    call, _ = arrived("/a.B/C", [("x-request-id", "r")])
    call.code, call.ended = code, call.started + 1_500_000_000

    with capture_logs() as lines:
        CallLog(least).done([call])

    if level is None:
        assert lines == []
        return
    (line,) = lines
    assert line == {
        "event": "call",
        "duration": 1.5,
        "log_level": level,
        "method": "/a.B/C",
        "request_id": "r",
        "code": code,
    }


@pytest.mark.parametrize("given", ["r", "!~", "x" * 128])
def test_a_request_id_that_is_visible_and_short_is_kept(given: str) -> None:
    call, _ = arrived("/a.B/C", [("x-request-id", given), ("x-request-id", "another")])

    assert call.request_id == given


@pytest.mark.parametrize("given", ["", " ", "a b", "é", "a\n", "\x7f", "x" * 129, b"r"])
def test_another_request_id_is_replaced(given: str | bytes) -> None:
    call, _ = arrived("/a.B/C", [("x-request-id", given)])

    assert uuid.UUID(call.request_id).version == 8


def test_metadata_is_measured_as_http2_does() -> None:
    call, _ = arrived("/a.B/C", [("user-agent", "x"), ("authorization", "abc")] * 5)

    assert call.metadata_size == 5 * (len("authorization") + 3 + 32)


@pytest.mark.parametrize(
    ("values", "found"),
    [([], None), (["a"], "a"), (["a", "b"], SEVERAL), (["a"] * 1000, SEVERAL)],
)
def test_one_authorization_is_told_from_several(values: list[str], found: Authorization) -> None:
    _, authorization = arrived("/a.B/C", [("authorization", value) for value in values])

    assert authorization is found


async def test_what_answers_is_called_and_not_awaited() -> None:
    handlers: Any = grpc.method_handlers_generic_handler(
        "a.B", {"C": grpc.unary_unary_rpc_method_handler(print)}
    )
    pipeline = Pipeline([], 100, 10)
    pipeline.add([handlers])
    details: Any = SimpleNamespace(method="/a.B/C", invocation_metadata=())

    answer = pipeline.service(details).stream_unary

    assert inspect.isawaitable(answer)
    with pytest.raises(TypeError, match="call it"):
        await answer
    assert pipeline.service(details).stream_unary is answer
    assert pipeline.find(SimpleNamespace(method="/a.B/D")) is None


@pytest.mark.parametrize(("keeps", "peer"), [(True, "unix:"), (False, "")])
@pytest.mark.parametrize("fails", [True, False])
async def test_of_a_call_that_is_over_is_known_what_was_kept(
    *, keeps: bool, fails: bool, peer: str
) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    over = asyncio.Event()
    tasks = []

    async def later() -> None:
        await over.wait()
        told.put_nowait(current_call().peer)

    async def handler(_request: bytes, _context: Any) -> bytes:
        tasks.append(asyncio.create_task(later()))
        if keeps:
            current_call().keep_peer()
        if fails:
            await asyncio.Event().wait()
        return b""

    method: Any = grpc.unary_unary_rpc_method_handler(handler, bytes, bytes)
    async with guarded() as server:
        server.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("a.B", {"C": method}),)
        )
        found = await server.call("/a.B/C", as_role("all"), wait=0.05 if fails else 5)
        assert found[0] == ("DEADLINE_EXCEEDED" if fails else "OK")
        # gRPC lets go of a call some turns of the loop after its end.
        await server.call(f"{PROBE}/Unary", as_role("all"))
        over.set()

        assert await asyncio.wait_for(told.get(), 5) == peer


async def test_a_server_that_stops_leaves_no_call_untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aftermath, "SOON", 60.0)
    seen: list[tuple[str, ...]] = []
    async with guarded(more=[Witness("a", seen)]) as server:
        await server.call(f"{PROBE}/Unary", as_role("all"))
        assert not [told for told in seen if told[1] == "done"]

    assert seen[-1] == ("a", "done", "OK")
    assert not await server.server.wait_for_termination(0)
