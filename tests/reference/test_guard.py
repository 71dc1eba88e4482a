"""The guard of a real server: every kind of call, existing or not, before anything is read."""

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from reference.config.auth import Rate, RateLimit
from reference.mesh.security.guard import OPEN
from reference.mesh.telemetry.logging import withhold_metadata

from .guarded import KINDS, PROBE, as_role, bearer, guarded
from .minting import NOW, Key

UNKNOWN = ("/blackhole.conformance.v1.Probe/NoSuchMethod", "/no.Such/Method", "/", "/a.B/C")
HEALTH = "/grpc.health.v1.Health"

Refused = tuple[str, str]

MISSING = ("UNAUTHENTICATED", "missing token")
INVALID = ("UNAUTHENTICATED", "invalid token")
FORBIDDEN = ("PERMISSION_DENIED", "insufficient permissions")


@pytest.mark.parametrize("kind", KINDS)
async def test_claims_reach_the_handler_and_the_token_does_not(kind: str) -> None:
    async with guarded() as server:
        code, body, trailing = await server.call(
            f"{PROBE}/{kind}", as_role("probe", sub="bob"), ("x-request-id", "r"), ("other", "x")
        )

        assert (code, trailing["x-request-id"]) == ("OK", "r")
        assert "bob probe unix: other,x-request-id" in body
        assert server.audit == []


@pytest.mark.parametrize("path", [*(f"{PROBE}/{kind}" for kind in KINDS), *UNKNOWN])
@pytest.mark.parametrize(
    ("entries", "refusal", "reason"),
    [
        ([], MISSING, "no token"),
        ([bearer("x")], INVALID, "no JWS in compact form"),
        ([bearer(Key("one").token())], INVALID, "a wrong signature"),
        ([as_role("all")] * 2, INVALID, "more than one authorization entry"),
        ([as_role("all", exp=NOW)], INVALID, "expired"),
    ],
)
async def test_nobody_without_a_good_token_passes(
    path: str, entries: list[tuple[str, str]], refusal: Refused, reason: str
) -> None:
    async with guarded() as server:
        code, told, trailing = await server.call(path, *entries, body=None)

        assert (code, told) == refusal
        assert set(trailing) == {"x-request-id"}
        assert server.probe.reached == []
        assert set(server.pipeline._wrapped) <= {f"{PROBE}/{kind}" for kind in KINDS}
        assert server.audit == [
            {
                "event": "audit",
                "log_level": "warning",
                "_event": "authentication_refused",
                "method": path,
                "peer": "unix:",
                "subject": "",
                "reason": reason,
                "request_id": trailing["x-request-id"],
            }
        ]


@pytest.mark.parametrize("path", [*(f"{PROBE}/{kind}" for kind in KINDS), *UNKNOWN[:3]])
@pytest.mark.parametrize(
    ("role", "reason"),
    [
        (None, "the token has no role"),
        ("", "the role is not granted it"),
        ("unknown", "the role is not granted it"),
        ("elsewhere", "the role is not granted it"),
    ],
)
async def test_nobody_without_the_permission_passes(
    path: str, role: str | None, reason: str
) -> None:
    async with guarded() as server:
        code, told, _ = await server.call(path, as_role(role), body=None)

        assert (code, told) == FORBIDDEN
        assert server.probe.reached == []
        (record,) = server.audit
        assert (record["_event"], record["subject"]) == ("permission_refused", "alice")
        assert record["reason"] == reason


async def test_a_role_is_granted_exactly_its_methods() -> None:
    async with guarded() as server:
        granted = {
            (role, kind)
            for role in ("all", "probe", "unary", "elsewhere")
            for kind in KINDS
            if (await server.call(f"{PROBE}/{kind}", as_role(role)))[0] == "OK"
        }

        everything = {(role, kind) for role in ("all", "probe") for kind in KINDS}
        assert granted == everything | {("unary", "Unary")}
        assert len(server.audit) == len(KINDS) * 4 - len(granted)


@pytest.mark.parametrize("path", UNKNOWN)
async def test_who_may_call_everything_learns_what_there_is_not(path: str) -> None:
    async with guarded() as server:
        code, _, _ = await server.call(path, as_role("all"))

        assert code == "UNIMPLEMENTED"
        assert set(server.pipeline._wrapped) <= {f"{PROBE}/{kind}" for kind in KINDS}
        assert server.audit == []


async def test_made_up_names_are_cut_and_grow_nothing() -> None:
    async with guarded() as server:
        for number in range(50):
            await server.call(f"/{'x' * 300}{number}/y", as_role("all"))
            await server.call(f"/{'x' * 300}{number}/y")

        assert set(server.pipeline._wrapped) <= {f"{PROBE}/{kind}" for kind in KINDS}
        assert {record["method"] for record in server.audit} == {f"/{'x' * 255}"}
        assert len(server.audit) == 50


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{HEALTH}/Check", "OK"),
        ("/blackhole.identity.v1.IdentityService/Check", "UNIMPLEMENTED"),
        (f"{HEALTH}/List", "UNAUTHENTICATED"),
        (f"{HEALTH}/check", "UNAUTHENTICATED"),
        (f"{PROBE}/Check", "UNAUTHENTICATED"),
        ("/grpc.health.v1.Health.x/Check", "UNAUTHENTICATED"),
    ],
)
async def test_health_alone_is_open(path: str, code: str) -> None:
    async with guarded() as server:
        assert (await server.call(path))[0] == code
        assert (await server.call(path, bearer("x")))[0] == code


async def test_health_is_watched_without_a_token() -> None:
    async with guarded() as server:
        watch = server.channel.unary_stream(f"{HEALTH}/Watch")(b"")

        assert await watch.read() == b"\x08\x01"
        watch.cancel()

    assert f"{HEALTH}/Watch" in OPEN


LIMIT = RateLimit(Rate(1e-3, 3), Rate(1e-3, 2))


async def test_limits_are_for_callers_and_for_the_service() -> None:
    async with guarded(LIMIT) as server:
        alice, bob = (as_role("all", sub=name) for name in ("alice", "bob"))
        found = [
            (await server.call(f"{PROBE}/{kind}", who))[:2]
            for who, kind in zip([alice] * 3 + [bob] * 2, [*KINDS, "Unary"], strict=True)
        ]

        limited = ("RESOURCE_EXHAUSTED", "rate limit exceeded")
        assert [each == limited for each in found] == [False, False, True, False, True]
        assert [(record["subject"], record["reason"]) for record in server.audit] == [
            ("alice", "the caller's rate limit"),
            ("bob", "the service's rate limit"),
        ]
        assert {record["_event"] for record in server.audit} == {"rate_limited"}
        assert (await server.call(f"{HEALTH}/Check"))[0] == "OK"


async def test_who_is_refused_otherwise_takes_nothing_from_a_limit() -> None:
    async with guarded(LIMIT) as server:
        for _ in range(5):
            await server.call(f"{PROBE}/Unary")
            await server.call(f"{PROBE}/Unary", as_role("elsewhere"))

        assert (await server.call(f"{PROBE}/Unary", as_role("all")))[0] == "OK"


async def test_without_tokens_the_service_alone_has_a_limit() -> None:
    async with guarded(LIMIT, tokens=False) as server:
        codes = [(await server.call(f"{PROBE}/Unary"))[0] for _ in range(4)]

        assert codes == ["OK"] * 3 + ["RESOURCE_EXHAUSTED"]
        (record,) = server.audit
        assert (record["subject"], record["reason"]) == ("", "the service's rate limit")


async def test_too_much_metadata_comes_before_the_token() -> None:
    async with guarded() as server:
        code, told, _ = await server.call(f"{PROBE}/Unary", *[("x", "y" * 1000)] * 17)

        assert code == "RESOURCE_EXHAUSTED"
        assert told.startswith("the metadata has")
        assert server.audit == []


async def test_calls_at_once_keep_their_callers_apart() -> None:
    async with guarded() as server:
        names = [f"s{number}" for number in range(50)]
        found = await asyncio.gather(
            *(server.call(f"{PROBE}/Unary", as_role("all", sub=name)) for name in names)
        )

        assert all(f"{name} all" in each[1] for name, each in zip(names, found, strict=True))


async def test_an_error_of_a_stage_is_an_internal_error() -> None:
    async with guarded() as server:
        server.verifier._keys = lambda: 1 / 0  # type: ignore[assignment,return-value]

        code, told, _ = await server.call(f"{PROBE}/Unary", as_role("all"))

        assert (code, told) == ("INTERNAL", "internal error")
        assert server.probe.reached == []


class Forger(asyncio.Protocol):
    """An HTTP/2 client that sends whatever headers it is told to."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers = headers
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(validate_outbound_headers=False, header_encoding=None)
        )
        self.ended: asyncio.Future[dict[bytes, bytes]] = asyncio.Future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._h2.initiate_connection()
        usual = {
            b":method": b"POST",
            b":scheme": b"http",
            b":path": f"{PROBE}/Unary".encode(),
            b":authority": b"x",
            b"te": b"trailers",
            b"content-type": b"application/grpc",
        }
        self._h2.send_headers(1, [*usual.items(), *self._headers])
        transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                found = dict(event.headers)
                if b"grpc-status" in found and not self.ended.done():
                    self.ended.set_result(found)
        self._transport.write(self._h2.data_to_send())


@pytest.mark.parametrize(
    "values",
    [
        [b"Bearer \xff\xfe"],
        [b"Bearer \xc3("],
        [b"\xff"],
        [b"Bearer \xe2\x82\xac.x.y"],
        [b"Bearer x\x01y"],
        [b"Bearer a"] * 200,
        [b"Bearer " + b"A" * 8000],
    ],
)
async def test_bytes_that_are_no_text_are_refused_and_not_logged(
    values: list[bytes],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    withhold_metadata()
    async with guarded() as server:
        path = server.address.removeprefix("unix:")
        transport, forger = await asyncio.get_running_loop().create_unix_connection(
            lambda: Forger([(b"authorization", value) for value in values]), path
        )
        found = await asyncio.wait_for(forger.ended, 5)
        transport.close()

        assert (found[b"grpc-status"], found[b"grpc-message"]) == (b"16", b"invalid token")
        assert (await server.call(f"{PROBE}/Unary", as_role("all")))[0] == "OK"

    # gRPC itself may tell how the forger hung up.
    told = "".join((*capfd.readouterr(), caplog.text)).lower()
    assert [word for word in ("authorization", "bearer", "encoding") if word in told] == []


async def test_a_caller_that_leaves_is_nobodys_trouble() -> None:
    async with guarded() as server:
        call = server.channel.stream_unary(f"{PROBE}/ClientStream")(metadata=(as_role("all"),))
        await call.wait_for_connection()
        await call.write(b"")
        call.cancel()

        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await server.call(f"{PROBE}/Unary", as_role("all")))[0] == "OK"
