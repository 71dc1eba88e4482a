"""Chapter 3: the remote transport, as the mesh client uses it (TLS-6, TLS-7)."""

import asyncio

from .harness import bounds
from .harness.history import expect_elapsed
from .harness.judging import expect
from .harness.nodes import Node
from .harness.peer import Peer
from .harness.pki import EXPIRED, NOT_YET_VALID, Authority, Credentials, self_signed
from .harness.remote import remote_caller, suite_pki

CONNECT_TIMEOUT = 0.4
HEALTH_TIMEOUT = 0.4

CLIENT = {
    "pool": {"connect_timeout": f"{CONNECT_TIMEOUT}s"},
    "health": {"interval": "30s", "timeout": f"{HEALTH_TIMEOUT}s"},
    "retry": {"max_attempts": 1},
    "circuit": {"failure_threshold": 1000},
}
"""Settings of the drivers here: each endpoint is checked once, and each call tried once."""


async def test_tls_6_a_wrong_server_is_refused(node: Node) -> None:
    """TLS-6: A server whose certificate is wrong in one thing never gets a call."""
    right, wrong = await _peer(node, "right", suite_pki().server()), await _wrong_peers(node)
    peers = {"right": right, **wrong}
    caller = remote_caller(node.directory)
    driver = await node.drive(
        CLIENT | {"tls": caller.settings, "services": {n: _tcp(p) for n, p in peers.items()}}
    )
    control = await driver.call("right")
    expect((control.code, len(right.arrivals)), equals=("OK", 1), what="the call of the control")

    outcomes = dict(
        zip(wrong, await asyncio.gather(*(driver.call(name) for name in wrong)), strict=True)
    )

    expect(
        {name: outcome.code for name, outcome in outcomes.items()},
        equals=dict.fromkeys(wrong, "UNAVAILABLE"),
        what="calls, by what is wrong with the server's certificate",
    )
    expect(
        {name: [*peer.arrivals, *peer.checks] for name, peer in wrong.items()},
        equals={name: [] for name in wrong},
        what="calls that arrived there, health checks included",
    )
    for outcome in outcomes.values():
        expect_elapsed(
            outcome.elapsed, at_most=CONNECT_TIMEOUT + HEALTH_TIMEOUT, since=outcome.since
        )
    again = await driver.call("right")
    expect(again.code, equals="OK", what="another call of the control")


async def test_tls_7_the_client_shows_its_certificate(node: Node) -> None:
    """TLS-7: A call arrives over TLS, with the client's own certificate."""
    peer = await _peer(node, "remote", suite_pki().server())
    caller = remote_caller(node.directory)
    driver = await node.drive(CLIENT | {"tls": caller.settings, "services": {"remote": _tcp(peer)}})

    outcome = await driver.call("remote")

    expect(outcome.code, equals="OK", what="the call")
    (arrival,) = await peer.arrived(1, bounds.PROMPT)
    tls = arrival.connection.tls
    expect(
        (tls and tls.alpn, tls and tls.serial),
        equals=("h2", caller.certificate.serial),
        what="ALPN, and the certificate that the peer saw",
    )
    expect(tls and tls.version, one_of=["TLSv1.2", "TLSv1.3"], what="version of TLS")


async def _peer(node: Node, name: str, tls: Credentials | None) -> Peer:
    return await node.peer(name, at=0, tls=tls)


async def _wrong_peers(node: Node) -> dict[str, Peer]:
    """Return peers at ports, each with one thing wrong."""
    pki = suite_pki()
    shown = {
        "other-authority": Authority().issue("suite server"),
        "self-signed": self_signed("suite server"),
        "expired": pki.authority.issue("suite server", valid=EXPIRED),
        "not-yet-valid": pki.authority.issue("suite server", valid=NOT_YET_VALID),
        "other-name": pki.authority.issue("suite server", hosts=["elsewhere.test"]),
    }
    peers = {name: await _peer(node, name, pki.showing(own)) for name, own in shown.items()}
    return peers | {"plaintext": await _peer(node, "plaintext", None)}


def _tcp(peer: Peer) -> dict[str, dict[str, object]]:
    return {"tcp": {"host": "127.0.0.1", "port": peer.port}}
