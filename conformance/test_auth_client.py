"""Chapter 21: the token of the process's own calls (AUTH-7)."""

import asyncio
from pathlib import Path

import pytest

from .harness.arrivals import Arrival
from .harness.bounds import until
from .harness.judging import did, expect
from .harness.kinds import KINDS
from .harness.nodes import Node
from .harness.peer import Peer
from .harness.remote import remote_caller, suite_pki
from .harness.replies import fails
from .harness.security import RELOAD

RENEWED = 1.0
"""Seconds beyond `auth.reload_interval` until a new token must be in use (CONFORMANCE.md)."""

CLIENT = {
    "retry": {"max_attempts": 2, "initial_backoff": "0.01s"},
    "health": {"interval": "0.1s"},
    "registry": {"rescan_interval": "0.3s"},
}


class OwnToken:
    """A file that holds the token of a driver."""

    def __init__(self, directory: Path) -> None:
        """Write a first token."""
        self.path = directory / "token"
        self.write("first.token.value")

    def write(self, token: str) -> None:
        """Put a token in place, with the white space that editors leave."""
        did(f"put the token {token} in place")
        draft = self.path.with_suffix(".new")
        draft.write_text(f"{token}\n", encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(self.path)

    @property
    def settings(self) -> dict[str, object]:
        """Settings by which a driver shows it."""
        return {"auth": {"token_file": str(self.path), "reload_interval": f"{RELOAD}s"}}


@pytest.fixture
def token(node: Node) -> OwnToken:
    """The token of the driver that the test starts."""
    return OwnToken(node.directory)


async def test_auth_7_every_call_carries_the_own_token(node: Node, token: OwnToken) -> None:
    """AUTH-7: Every attempt of every kind of call carries the own token, health checks none."""
    peer = await node.peer("p")
    driver = await node.drive(CLIENT | token.settings)
    await driver.finds("p")
    foreign = [("authorization", "Bearer of.some.other")]

    outcomes = [await driver.call("p", b"x", method=kind) for kind in KINDS]
    replaced = await driver.call("p", metadata=foreign)
    peer.answers(fails("UNAVAILABLE", "once"))
    retried = await driver.call("p")
    await until(lambda: peer.checks, bound=1.0, what="a health check arrives")

    expect(
        [one.code for one in (*outcomes, replaced, retried)],
        equals=["OK"] * (len(KINDS) + 2),
        what="the calls",
    )
    expect(
        [_shown(arrival) for arrival in peer.arrivals],
        equals=[["Bearer first.token.value"]] * (len(KINDS) + 3),
        what="authorization of every attempt",
    )
    expect(
        [_shown(check) for check in peer.checks],
        equals=[[]] * len(peer.checks),
        what="authorization of the health checks",
    )


async def test_auth_7_ports_get_it_by_tls(node: Node, token: OwnToken) -> None:
    """AUTH-7: A call to a port carries the own token, too, by TLS."""
    peer = await node.peer("p", at=0, tls=suite_pki().server())
    services = {"p": {"tcp": {"host": "127.0.0.1", "port": peer.port}}}
    tls = remote_caller(node.directory).settings
    driver = await node.drive(CLIENT | token.settings | {"tls": tls, "services": services})

    outcome = await driver.call("p")

    expect(outcome.code, equals="OK", what="the call")
    expect(
        [(_shown(arrival), arrival.connection.tls is not None) for arrival in peer.arrivals],
        equals=[(["Bearer first.token.value"], True)],
        what="authorization, and whether it came by TLS",
    )


async def test_auth_7_a_renewed_token_is_taken_up(node: Node, token: OwnToken) -> None:
    """AUTH-7: A token that is replaced in its file is used soon, without a restart."""
    peer = await node.peer("p")
    driver = await node.drive(CLIENT | token.settings)
    await driver.finds("p")
    await driver.call("p")
    expect(_last(peer), equals=["Bearer first.token.value"], what="authorization at first")

    token.write("second.token.value")

    async def taken_up() -> bool:
        await asyncio.wait_for(driver.call("p"), RENEWED)
        return _last(peer) == ["Bearer second.token.value"]

    await until(taken_up, bound=RELOAD + RENEWED, what="the new token arrives", every=0.02)
    expect(
        {tuple(_shown(arrival)) for arrival in peer.arrivals},
        equals={("Bearer first.token.value",), ("Bearer second.token.value",)},
        what="authorization of all calls",
    )


def _shown(arrival: Arrival) -> list[str]:
    return [value for name, value in arrival.headers if name == "authorization"]


def _last(peer: Peer) -> list[str]:
    return _shown(peer.arrivals[-1]) if peer.arrivals else []
