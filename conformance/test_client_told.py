"""What the mesh client tells of itself: REG-9 (chapter 5) and CBR-11 (chapter 17)."""

from typing import Any

from .harness.bounds import PROMPT, until
from .harness.circuit import Circuit
from .harness.fixtures_client import DRIVEN
from .harness.judging import expect
from .harness.logs import Record, records
from .harness.metered import scraper_of
from .harness.namespaces import unwatchable
from .harness.nodes import Node
from .harness.replies import ok
from .harness.scraper import Scraper
from .test_reg import RESCANNED

STATE = "blackhole_circuit_state"

CLOSED, OPEN, HALF_OPEN = 0.0, 1.0, 2.0
"""Values of the gauge, as the document numbers the states."""


async def test_reg_9_a_registry_that_cannot_watch_rescans(node: Node) -> None:
    """REG-9: Where nothing can be watched the log says so, and services are found all the same."""
    driver = await node.drive(DRIVEN["quick"], wrapper=unwatchable())

    async with driver.watch() as registry:
        for _ in range(2):
            peer = await node.peer("found")
            await registry.seen(
                lambda _: "found" in registry.names, bound=RESCANNED, what="the list holds `found`"
            )
            outcome = await driver.call("found")
            expect(outcome.code, equals="OK", what="code of a call of it")
            await peer.close()
            await registry.seen(
                lambda _: "found" not in registry.names,
                bound=RESCANNED,
                what="the list does not hold `found` any more",
            )

    def troubled() -> list[Record]:
        return [
            line
            for line in records(driver.process)
            if line.get("level") in ("warning", "error") and str(node.socket_dir) in str(line)
        ]

    await until(
        troubled, bound=PROMPT, what="a line at level warning or error names socket_dir", every=0.02
    )


async def test_cbr_11_the_states_of_a_circuit_are_told(node: Node) -> None:
    """CBR-11: Each change of state is logged, and the gauge shows the state."""
    scraper = scraper_of(node, "driver")
    peer = await node.peer("probed")
    driver = await node.drive({**DRIVEN["breaking"], **scraper.settings("driver")})
    await driver.finds("probed")
    circuit = Circuit(driver, peer)

    await circuit.calls(ok())
    await _shows(scraper, CLOSED)
    await circuit.opens()
    await _shows(scraper, OPEN)
    await circuit.passes(circuit.wait)
    await circuit.calls(*[ok()] * (circuit.successes - 1))
    await _shows(scraper, HALF_OPEN)
    await circuit.calls(ok())
    await _shows(scraper, CLOSED)

    def told() -> list[Any]:
        lines = records(driver.process)
        return [line.get("state") for line in lines if line.get("target") == "probed"]

    wanted = ["open", "half-open", "closed"]
    await until(
        lambda: len(told()) >= len(wanted),
        bound=PROMPT,
        what="three lines with `target` probed",
        every=0.02,
        seen=told,
    )
    expect(told(), equals=wanted, what="`state` of the lines with `target` probed")


async def _shows(scraper: Scraper, state: float) -> None:
    """Wait until the gauge shows a state of the one circuit there is."""
    seen: dict[tuple[str, ...], float] = {}

    async def right() -> bool:
        nonlocal seen
        seen = (await scraper.scrape()).by(STATE, "target")
        return seen == {("probed",): state}

    await until(right, bound=PROMPT, what=f"{STATE} is {state:g}", every=0.02, seen=lambda: seen)
