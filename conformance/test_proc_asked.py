"""Chapter 1: what is asked of an implementation, claimed or not (PROC-10).

What it claims it must do. What it does not claim it may do or refuse, and may not ignore.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import pytest

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.addresses import TLSAddress
from .harness.bounds import PROMPT, START_ERROR, until
from .harness.collector import Collector
from .harness.events import Events
from .harness.judging import NonConformance, did, expect
from .harness.ledger import Ledger
from .harness.metered import scraper_of
from .harness.nodes import Node
from .harness.remote import Remote, suite_pki
from .harness.scraper import TOTAL
from .harness.security import Trust, shared_issuer
from .harness.service import ServedProcess
from .harness.storage import Storage
from .harness.tokens import bearer

pytestmark = pytest.mark.transports("unix")

CREATE = pb.CreateDIDRequest(method="key")


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that an implementation is asked for, in its file or on its command line."""

    profile: str
    """What claims it."""
    words: tuple[str, ...]
    """One of them names it, where it is refused."""

    def __repr__(self) -> str:
        """Show its name in the file, or on the command line."""
        return self.words[0]


PORT = Asked("remote", ("tcp", "tls"))
TOKENS = Asked("security", ("auth",))
RATE = Asked("security", ("rate_limit", "rateLimit"))
METRICS = Asked("observability", ("metrics_addresses", "metricsAddresses"))
TRACES = Asked("observability", ("otlp_endpoint", "otlpEndpoint"))

SERVICES: tuple[type[ServedProcess], ...] = (Events, Ledger, Storage)

ROLES: dict[str, tuple[str, Callable[[Node], ServedProcess]]] = {
    "driver": ("client", Node.begin_driver),
    "orchestrator": ("orchestrator", lambda node: node.begin_orchestrator(services=["identity"])),
}
"""Roles by the word that asks for them: the profile that claims each, and how it is started."""


async def _is_done(node: Node, service: ServedProcess, asked: Asked) -> bool:
    """Wait until what is asked for serves, or was refused; tell whether it serves.

    Raises:
        NonConformance: it does neither, was refused though it is claimed, or not as it must be.
    """
    process = service.process

    async def decided() -> bool:
        return not process.alive or (service.accepts() and await service.serving())

    await until(
        decided,
        bound=node.start_timeout,
        what=f"{asked} is honoured, or refused",
        seen=process.story,
    )
    if process.alive:
        did(f"{asked} was not refused")
        return True
    ended = await process.ended(PROMPT)
    did(f"{asked} was refused with exit status {ended.status}")
    if asked.profile in node.implementation.profiles:
        raise NonConformance(
            what=f"{asked}, which profile {asked.profile} claims",
            expected="honoured",
            observed=f"the process ended\n{process.story()}",
        )
    expect(ended.status != 0, equals=True, what=f"exit status other than 0, where {asked} is asked")
    expect(ended.elapsed, at_most=START_ERROR, what=f"seconds until {asked} is refused")
    expect(
        ended.says(*asked.words),
        equals=True,
        what=f"a line of standard error holds one of {asked.words}",
    )
    expect(node.leftovers(), equals=[], what="files left in socket_dir")
    return False


async def test_proc_10_a_port_is_there_or_refused(control: Node) -> None:
    """PROC-10: A service listens at the port that it is told, by mutual TLS, or refuses it."""
    with closing(Remote(control.directory / "tls")) as remote:
        service = control.begin(remote.settings("identity"))

        if not await _is_done(control, service, PORT):
            return

        stranger = TLSAddress(remote.port.number, suite_pki().showing(None))
        own = await service.check(channel=service.connect(address=remote.address()))
        other = await service.check(channel=service.connect(address=stranger))
        expect(own.code, equals="OK", what="tcp was not refused: Check at the port")
        expect(other.code, equals="UNAVAILABLE", what="Check at the port without a certificate")
        await service.lives()


async def test_proc_10_tokens_are_asked_for_or_refused(control: Node) -> None:
    """PROC-10: A service that is told whom to believe asks for tokens, or refuses to start."""
    trust = Trust(control.directory, shared_issuer())
    service = control.begin(trust.settings())

    if not await _is_done(control, service, TOKENS):
        return

    known = service.connect(metadata=bearer(trust.issuer.token()))
    stranger = await service.call("CreateDID", CREATE)
    control_call = await service.call_on(known, "CreateDID", CREATE)
    expect(
        stranger.code, equals="UNAUTHENTICATED", what="auth was not refused: a call without a token"
    )
    expect(control_call.code, equals="OK", what="the same call with a token")


async def test_proc_10_a_rate_is_kept_or_refused(control: Node) -> None:
    """PROC-10: A service keeps the rate that it is told, or refuses it."""
    limit = {"rate": 0.01, "burst": 1}
    service = control.begin({"services": {"identity": {"rate_limit": limit}}})

    if not await _is_done(control, service, RATE):
        return

    first = await service.call("CreateDID", CREATE)
    second = await service.call("CreateDID", CREATE)
    expect(first.code, equals="OK", what="the first call")
    expect(
        second.code,
        equals="RESOURCE_EXHAUSTED",
        what="rate_limit was not refused: a call beyond the burst of 1",
    )


async def test_proc_10_metrics_are_served_or_refused(control: Node) -> None:
    """PROC-10: A service tells its metrics where it is told to, or refuses to start."""
    scraper = scraper_of(control)
    service = control.begin(scraper.settings("identity"))

    if not await _is_done(control, service, METRICS):
        return

    await service.create()
    scrape = await scraper.scrape()
    expect(TOTAL in scrape.samples, equals=True, what=f"{TOTAL} is told at metrics_addresses")


async def test_proc_10_traces_arrive_or_are_refused(collector: Collector, control: Node) -> None:
    """PROC-10: Spans of a service arrive at the collector that it is told, or it refuses one."""
    service = control.begin(collector.settings())

    if not await _is_done(control, service, TRACES):
        return

    await service.create()
    await service.stop()
    expect(
        collector.exports,
        at_least=1,
        what="otlp_endpoint was not refused: exports there, by the end of the process",
    )


@pytest.mark.parametrize("kind", SERVICES, ids=lambda kind: kind.NAME)
async def test_proc_10_a_service_is_there_or_refused(
    control: Node, kind: type[ServedProcess]
) -> None:
    """PROC-10: The service that is asked for runs, or is refused by name."""
    service = control.launch(kind, control.settings(services=("identity", kind.NAME)))

    if await _is_done(control, service, Asked("platform", (kind.NAME,))):
        await service.lives()


@pytest.mark.parametrize("role", ROLES)
async def test_proc_10_a_role_is_there_or_refused(control: Node, role: str) -> None:
    """PROC-10: The role that is asked for runs, or is refused by name."""
    profile, begin = ROLES[role]
    process = begin(control)

    if await _is_done(control, process, Asked(profile, (role,))):
        ended = await process.stop()
        expect(ended.status, equals=0, what=f"exit status of the {role} after SIGTERM")
