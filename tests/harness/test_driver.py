"""The words for a driver, held against a driver that only pretends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from blackhole.conformance.v1 import driver_pb2 as pb
from conformance.harness import bounds
from conformance.harness.driver import SERVICE, Driver
from conformance.harness.judging import NonConformance
from conformance.harness.outcomes import Outcome, call_request

SETTINGS = {"default_timeout": "0.1s", "registry": {"rescan_interval": "0.05s"}}


class Pretender:
    """Answers what it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answer: Any = pb.CallResponse()
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.hangs = False
        self.lists: asyncio.Queue[pb.WatchResponse | None] = asyncio.Queue()

    async def unary(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        if self.hangs:
            await asyncio.Event().wait()
        if self.refusal is not None:
            await context.abort(*self.refusal)
        return self.answer

    async def watch(self, *_: Any) -> AsyncIterator[pb.WatchResponse]:
        while (made := await self.lists.get()) is not None:
            yield made

    def handler(self) -> Any:
        """Return what a server of grpc.aio takes."""
        methods = {}
        for method in pb.DESCRIPTOR.services_by_name["Driver"].methods:
            how: dict[str, Any] = {
                "request_deserializer": getattr(pb, method.input_type.name).FromString,
                "response_serializer": lambda message: message.SerializeToString(),
            }
            methods[method.name] = (
                grpc.unary_stream_rpc_method_handler(self.watch, **how)
                if method.name == "Watch"
                else grpc.unary_unary_rpc_method_handler(self.unary, **how)
            )
        return grpc.method_handlers_generic_handler(SERVICE, methods)


@pytest.fixture
def pretender() -> Pretender:
    return Pretender()


@pytest.fixture
async def driver(pretender: Pretender, socket_dir: Path) -> AsyncIterator[Driver]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((pretender.handler(),))
    path = socket_dir / "driver.sock"
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    running = Driver(path, None, 1.0, SETTINGS)
    yield running
    await running.hang_up()
    await server.stop(0)


def _endpoints(*names: str) -> pb.WatchResponse:
    made = [name.partition("@") for name in names]
    return pb.WatchResponse(
        endpoints=[
            pb.Endpoint(name=name, version=version, state=pb.ENDPOINT_STATE_HEALTHY)
            for name, _, version in made
        ]
    )


async def test_a_call_is_asked_for_as_it_is_said(pretender: Pretender, driver: Driver) -> None:
    await driver.call("a")
    await driver.call(
        "b", b"1", b"2", method="BIDI_STREAM", version="1.2.0", timeout=0.25,
        metadata=[("x-a", "text"), ("x-bin", b"\xff")], cancel_after=1e-9,
    )  # fmt: skip
    await driver.call("c", method="CLIENT_STREAM")

    first, second, third = pretender.asked
    assert first == pb.CallRequest(service="a", method=pb.PROBE_METHOD_UNARY, payloads=[b"ping"])
    assert (second.timeout.nanos, second.cancel_after.nanos) == (250_000_000, 1)
    assert [(entry.key, entry.value) for entry in second.metadata] == [
        ("x-a", b"text"),
        ("x-bin", b"\xff"),
    ]
    assert (second.version, list(second.payloads), second.method) == ("1.2.0", [b"1", b"2"], 4)
    assert list(third.payloads) == []


async def test_an_outcome_is_what_the_caller_of_the_call_saw(
    pretender: Pretender, driver: Driver
) -> None:
    detail = AnyMessage()
    detail.Pack(error_details_pb2.RetryInfo())
    pretender.answer = pb.CallResponse(
        status=status_pb2.Status(code=14, message="why", details=[detail]),
        payloads=[b"a"],
        initial_metadata=[pb.MetadataEntry(key="x-i", value=b"1")],
        trailing_metadata=[pb.MetadataEntry(key="x-bin", value=b"\xff")],
    )

    outcome = await driver.call("a")

    assert outcome == Outcome(
        code="UNAVAILABLE", message="why", details=(detail,), payloads=(b"a",),
        initial=(("x-i", "1"),), trailing=(("x-bin", b"\xff"),),
    )  # fmt: skip
    assert outcome.elapsed > 0.0
    assert repr(outcome).startswith(
        "Outcome(UNAVAILABLE, 'why', payloads [b'a'], details [google.rpc.RetryInfo], "
    )


async def test_a_result_is_the_payload_of_a_submitted_item(
    pretender: Pretender, driver: Driver
) -> None:
    pretender.answer = pb.SubmitResponse(result=b"r")
    good = await driver.submit("a", b"item")
    pretender.answer = pb.SubmitResponse(status=status_pb2.Status(code=99))
    bad = await driver.submit("a", b"item")
    assert (good, bad) == (Outcome("OK", payloads=(b"r",)), Outcome("code 99"))


async def test_items_are_submitted_at_once(pretender: Pretender, driver: Driver) -> None:
    pretender.answer = pb.SubmitResponse(result=b"r")
    results = await asyncio.gather(*driver.submits("a", b"1", b"2"))
    assert results == [Outcome("OK", payloads=(b"r",))] * 2
    assert sorted(asked.item for asked in pretender.asked) == [b"1", b"2"]


async def test_what_was_submitted_ends_with_the_test(pretender: Pretender, driver: Driver) -> None:
    pretender.hangs = True
    submitted = driver.submits("a", b"1", b"2")
    await bounds.until(lambda: len(pretender.asked) == 2, bound=1.0, what="the items")
    await driver.hang_up()
    assert [task.cancelled() for task in submitted] == [True, True]


async def test_a_driver_that_refuses_to_call_is_a_failure(
    pretender: Pretender, driver: Driver
) -> None:
    pretender.refusal = (grpc.StatusCode.FAILED_PRECONDITION, "the client is closed")
    for wrong in (driver.call("a"), driver.submit("a", b""), driver.close()):
        with pytest.raises(NonConformance, match="FAILED_PRECONDITION"):
            await wrong
    answer = await driver.ask("Call", call_request("a"))
    assert (answer.code, answer.message) == ("FAILED_PRECONDITION", "the client is closed")


async def test_a_driver_that_never_answers_is_a_failure(
    pretender: Pretender, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "DEADLINE", 0.1)
    pretender.hangs = True
    with pytest.raises(NonConformance, match="DEADLINE_EXCEEDED"):
        await driver.call("a", timeout=0.05)


async def test_a_call_that_was_begun_ends_with_the_test(
    pretender: Pretender, driver: Driver
) -> None:
    pretender.hangs = True
    call = driver.begin("a")
    await bounds.until(lambda: pretender.asked, bound=1.0, what="the call")
    await driver.hang_up()
    assert call.cancelled()


@pytest.mark.parametrize("code", [None, grpc.StatusCode.UNAVAILABLE])
async def test_what_discovery_knows_is_found(
    pretender: Pretender, driver: Driver, code: grpc.StatusCode | None
) -> None:
    pretender.answer = pb.ResolveResponse(address="unix:///x")
    pretender.refusal = (code, "unhealthy") if code is not None else None
    await driver.finds("a")


async def test_what_discovery_does_not_know_is_not_found(
    pretender: Pretender, driver: Driver
) -> None:
    pretender.refusal = (grpc.StatusCode.NOT_FOUND, "none")
    with pytest.raises(NonConformance, match=r"discovery finds a 1\.0\.0: expected within 0.05 s"):
        await driver.finds("a", "1.0.0")


async def test_another_address_than_that_of_the_socket_is_not_it(
    pretender: Pretender, driver: Driver
) -> None:
    pretender.answer = pb.ResolveResponse(address="unix:///x", version="1.0.0")
    assert await driver.where("a", "1.0.0") == ("OK", "unix:///x", "1.0.0")
    await driver.finds("a", "1.0.0", "unix:///x")
    with pytest.raises(NonConformance, match="discovery finds a"):
        await driver.finds("a", "1.0.0", "unix:///y")
    pretender.refusal = grpc.StatusCode.UNAVAILABLE, "unhealthy"
    assert await driver.where("a") == ("UNAVAILABLE", "", "")
    await driver.finds("a", "", "unix:///y")


async def test_the_registry_is_followed(pretender: Pretender, driver: Driver) -> None:
    pretender.lists.put_nowait(_endpoints("a"))
    async with driver.watch() as registry:
        assert registry.names == ["a"]
        pretender.lists.put_nowait(_endpoints("a", "a@1.0.0", "b"))
        seen = await registry.seen(lambda endpoints: len(endpoints) == 3, what="three")
        assert [endpoint.name for endpoint in seen] == ["a", "a", "b"]
        assert registry.names == ["a", "a@1.0.0", "b"]
        assert [endpoint.version for endpoint in registry.of("a")] == ["", "1.0.0"]
        assert len(registry.lists) == 2
        assert [registry.state(name) for name in ("a", "c")] == ["HEALTHY", ""]
        await registry.becomes("a", "HEALTHY", bound=0.0)
        with pytest.raises(NonConformance, match=r"a is UNHEALTHY: expected within 0\.01 s"):
            await registry.becomes("a", "UNHEALTHY", bound=0.01)
        assert repr(registry) == "Registry(a HEALTHY, a@1.0.0 HEALTHY, b HEALTHY)"
        with pytest.raises(NonConformance, match=r"none: .*observed not.*Registry\(a HEALTHY, a@"):
            await registry.seen(lambda endpoints: not endpoints, bound=0.01, what="none")


async def test_a_registry_that_ends_is_a_failure(pretender: Pretender, driver: Driver) -> None:
    pretender.lists.put_nowait(_endpoints())
    async with driver.watch() as registry:
        pretender.lists.put_nowait(None)
        with pytest.raises(NonConformance, match="one: expected an open stream of lists"):
            await registry.seen(len, what="one")


async def test_a_registry_that_says_nothing_is_a_failure(
    pretender: Pretender, driver: Driver
) -> None:
    pretender.lists.put_nowait(None)
    with pytest.raises(NonConformance, match="the first list of endpoints"):
        async with driver.watch():
            pass


def test_a_method_that_there_is_not_is_an_error_of_the_test() -> None:
    with pytest.raises(ValueError, match="PROBE_METHOD_UNARI"):
        call_request("a", method="UNARI")
