"""Each role, walked from its command to its end."""

from typing import Any

from blackhole.identity.v1 import identity_pb2 as pb

from ..bounds import DEADLINE
from ..driver import Driver
from ..events import Events
from ..identity import Identity
from ..judging import NonConformance
from ..ledger import Ledger
from ..metered import scraper_of
from ..nodes import Node
from ..orchestrator import Puppet, state_of
from ..outcomes import call_request, outcome_of
from ..peer import Peer
from ..remote import Remote, suite_pki
from ..scraper import Scraper
from ..security import Trust, shared_issuer
from ..service import ServedProcess
from ..storage import Storage
from ..tokens import bearer
from . import causes
from .ready import becomes_ready, said
from .rules import (
    DRIVER_CALL,
    DRIVER_SOCKET,
    METRICS,
    ORCHESTRATOR_SOCKET,
    PORT,
    RUNNING,
    STOPS_ALL,
    TOKENS,
    USED,
)
from .using import ends, look_at_log, overheard, refuses_unknown_field
from .walk import BrokenRule, Depth, Walk

PLATFORM: tuple[type[ServedProcess], ...] = (Identity, Storage, Ledger, Events)

_PAYLOAD = b"from the doctor"


async def walk_service(walk: Walk, node: Node, kind: type[ServedProcess], depth: Depth) -> None:
    """Walk a service of a kind from its command on.

    Raises:
        Found: a rule is broken.
    """
    walk.role = f"service {kind.NAME}" + (" at a port" if node.transport == "tcp" else "")
    settings = node.settings(services=[kind.NAME])
    logged = "observability" in node.implementation.profiles
    whole = depth is Depth.WHOLE
    scraper = scraper_of(node, kind.NAME) if logged and whole else None
    with_metrics = (
        node.settings(scraper.settings(kind.NAME), services=[kind.NAME]) if scraper else settings
    )
    service = node.launch(kind, with_metrics)
    await becomes_ready(walk, node, service)
    if depth is Depth.READY:
        return
    if node.remote:
        await _keeps_strangers_out(walk, service, node.remote)
    async with (
        walk.step("it serves a first call", USED, *causes.of_a_call("UNIMPLEMENTED")) as step,
        overheard(service, step),
    ):
        await (_identity_lives(service) if isinstance(service, Identity) else service.lives())
    if scraper:
        await _metered(walk, scraper)
    await ends(walk, node, service)
    if whole:
        await look_at_log(walk, service, claimed=logged)
    if whole and node.transport == "unix":
        await refuses_unknown_field(walk, node, ("service", kind.NAME), settings)


async def _keeps_strangers_out(walk: Walk, service: ServedProcess, remote: Remote) -> None:
    async with walk.step("no certificate, no call", PORT) as step:
        stranger = service.connect(address=remote.address(suite_pki().showing(None)))
        answer = await service.check(channel=stranger)
        step.show("answer", f"{said(answer)}, to a caller that shows no certificate")
        if answer.code != "UNAVAILABLE":
            raise BrokenRule(
                PORT,
                "UNAVAILABLE: the connection is refused",
                said(answer),
                ["a certificate is verified where there is one, and none is required"],
            )


async def _identity_lives(service: Identity) -> None:
    """Create a DID and resolve it.

    Raises:
        BrokenRule: it does not.
    """
    properties = {"suite": "doctor"}
    request = pb.CreateDIDRequest(method="key", properties=properties)
    created = await service.call("CreateDID", request)
    expected = "CreateDID answers OK, with a DID of the method key"
    if created.code != "OK":
        raise BrokenRule(USED, expected, said(created), causes.of_a_call(created.code))
    if not created.response.did.startswith("did:key:"):
        observed = f"{said(created)}: the DID is {created.response.did!r}"
        raise BrokenRule(USED, expected, observed, causes.of_a_call("OK"))
    resolved = await service.call("ResolveDID", pb.ResolveDIDRequest(did=created.response.did))
    expected = f"ResolveDID answers OK, with the properties {properties}"
    if resolved.code != "OK" or dict(resolved.response.document.properties) != properties:
        likely = causes.of_a_call(resolved.code)
        raise BrokenRule(USED, expected, said(resolved), likely)


async def _metered(walk: Walk, scraper: Scraper) -> None:
    async with walk.step(
        "metrics are served",
        METRICS,
        "nothing serves HTTP at `telemetry.metrics_addresses.NAME`; `unix:/path` is a form of it",
        "it is served after SERVING is said",
    ) as step:
        step.show("request", f"GET /metrics at {scraper.address}")
        scraped = await scraper.scrape()
        step.show("answer", f"{scraped.content_type}, {', '.join(sorted(scraped.types))}")


async def walk_tokens(walk: Walk, node: Node) -> None:
    """Walk an identity service that asks for tokens: with one, and without.

    Raises:
        Found: a rule is broken.
    """
    walk.role = "service identity with tokens"
    trust = Trust(node.directory, shared_issuer())
    node.metadata = bearer(trust.issuer.token())
    service = node.begin(trust.settings())
    await becomes_ready(walk, node, service)
    async with (
        walk.step("a right token is let through", TOKENS) as step,
        overheard(service, step, node.metadata),
    ):
        step.show("metadata", "authorization: Bearer TOKEN, EdDSA, role admin")
        await _identity_lives(service)
    async with walk.step("no token is refused", TOKENS) as step, overheard(service, step):
        answer = await service.call("CreateDID", pb.CreateDIDRequest(method="key"))
        if answer.code != "UNAUTHENTICATED":
            raise BrokenRule(
                TOKENS,
                "UNAUTHENTICATED",
                said(answer),
                ["nothing looks at `auth`: where it is set, every call passes its check first"],
            )
    await ends(walk, node, service)


async def walk_driver(walk: Walk, node: Node, depth: Depth) -> None:
    """Walk the driver from its command on.

    Raises:
        Found: a rule is broken.
    """
    walk.role = "driver"
    driver = node.begin_driver()
    await becomes_ready(walk, node, driver, DRIVER_SOCKET)
    if depth is Depth.READY:
        return
    async with walk.step("it calls a peer", DRIVER_CALL) as step, overheard(driver, step):
        peer = await node.peer("doctor-peer")
        step.show("peer", f"listens at {peer.path}")
        await _discovers(driver, peer)
        await _calls(driver, peer)
        step.show("peer", f"got {peer.arrivals}")
    await ends(walk, node, driver)
    if depth is Depth.WHOLE:
        await look_at_log(walk, driver, claimed="observability" in node.implementation.profiles)
        await refuses_unknown_field(walk, node, ("driver",), node.settings(services=()))


async def _discovers(driver: Driver, peer: Peer) -> None:
    try:
        await driver.finds(peer.name)
    except NonConformance as problem:
        raise BrokenRule(
            DRIVER_CALL,
            f"Resolve answers with unix://{peer.path} within `registry.rescan_interval`",
            problem.observed,
            [
                "`socket_dir` is not watched, nor looked at again",
                "the path is not made of its name",
            ],
        ) from None


async def _calls(driver: Driver, peer: Peer) -> None:
    request = call_request(peer.name, _PAYLOAD, timeout=DEADLINE)
    answer = await driver.ask("Call", request, 2 * DEADLINE)
    if answer.code != "OK":
        raise BrokenRule(
            DRIVER_CALL,
            "Call itself answers OK",
            said(answer),
            causes.of_a_call(answer.code),
        )
    outcome = outcome_of(answer)
    arrived = [one.payloads for one in peer.arrivals]
    if outcome.code == "OK" and not arrived:
        raise BrokenRule(
            DRIVER_CALL,
            f"one Probe.Unary with {_PAYLOAD!r} at the peer",
            f"the driver says OK with {list(outcome.payloads)}, and no call arrived at the peer",
            ["the driver answers by itself: it has to call the service that `service` names"],
        )
    if (outcome.code, outcome.payloads, arrived) != ("OK", (_PAYLOAD,), [(_PAYLOAD,)]):
        raise BrokenRule(
            DRIVER_CALL,
            f"OK with {_PAYLOAD!r}, which the peer got and gave back",
            f"{outcome}; at the peer: {arrived}",
            [
                "`payloads` are one a message, and go into the `payload` of Probe's messages",
                "the outcome of the call goes into `status`, and what it answered into `payloads`",
            ],
        )


async def walk_orchestrator(walk: Walk, node: Node, depth: Depth) -> None:
    """Walk the orchestrator, with one puppet, from its command on.

    Raises:
        Found: a rule is broken.
    """
    walk.role = "orchestrator"
    puppet = Puppet(node.directory, "puppet")
    services: dict[str, Any] = {"services": {puppet.name: puppet.entry()}}
    orchestrator = node.begin_orchestrator(services)
    await becomes_ready(walk, node, orchestrator, ORCHESTRATOR_SOCKET)
    if depth is Depth.READY:
        return
    async with walk.step("its service runs", RUNNING) as step, overheard(orchestrator, step):
        step.show("puppet", f"is to listen at {node.socket(puppet.name)}, and says SERVING there")
        await _puppet_runs(orchestrator, puppet)
    logged = "observability" in node.implementation.profiles
    await ends(walk, node, orchestrator)
    if depth is Depth.WHOLE:
        await look_at_log(walk, orchestrator, claimed=logged)
    async with walk.step("its service ended with it", STOPS_ALL) as step:
        stops = puppet.moments("stops")
        step.show("puppet", f"starts: {len(puppet.moments('starts'))}, SIGTERM: {len(stops)}")
        if not stops:
            raise BrokenRule(
                STOPS_ALL,
                "SIGTERM at the puppet",
                "none",
                ["services are killed, and not asked to end"],
            )
    if depth is Depth.WHOLE:
        settings = node.settings(services, services=())
        await refuses_unknown_field(walk, node, ("orchestrator",), settings)


async def _puppet_runs(orchestrator: Any, puppet: Puppet) -> None:
    try:
        told = await orchestrator.comes_to(puppet.name, "RUNNING")
    except NonConformance as problem:
        starts, checks = (len(puppet.moments(what)) for what in ("starts", "checks"))
        raise BrokenRule(
            RUNNING,
            f"ListServices or GetService tells RUNNING of {puppet.name}",
            f"{problem.observed}; the puppet was started {starts} times, and its health asked for"
            f" {checks} times",
            [
                "`services.NAME.command` is not started, or without `--config FILE`",
                "its health is not asked for at its socket, by its name",
            ],
        ) from None
    if not puppet.moments("starts"):
        raise BrokenRule(
            RUNNING,
            f"the command of {puppet.name} is started",
            f"it is told to be {state_of(told)}, and was never started",
            ["the orchestrator tells what is configured, and not what runs"],
        )
