"""Chapter 10: what the ledger keeps, and what it makes of a store that was changed (LED-4, 5)."""

import asyncio
import itertools
import secrets
from typing import Any

from .harness.judging import did, expect, untestable
from .harness.ledger import Ledger, expect_chain
from .harness.nodes import Node
from .harness.tampering import tamper

CALLERS = 8
"""Callers that append at once."""


async def test_led_4_acknowledged_entries_survive_sigkill(node: Node) -> None:
    """LED-4: Acknowledged entries survive SIGKILL, and the chain verifies."""
    acknowledged: list[Any] = []
    for round_ in range(3):
        service = await node.serve(Ledger)
        await _append_until_killed(service, f"round {round_}", acknowledged)
        did(f"killed the service with {len(acknowledged)} entries acknowledged in all")

    service = await node.serve(Ledger)
    last = await service.appended("test", b"last")
    entries = await service.replayed(await service.entries(0), last.index)

    expect(len(acknowledged), at_least=300, what="entries acknowledged")
    lost = [one.index for one in acknowledged if entries[one.index : one.index + 1] != [one]]
    expect(lost, equals=[], what="indices of acknowledged entries that are lost or changed")
    expect_chain(entries)
    expect(entries[-1], equals=last, what="the entry that was appended last")
    expect(
        len(entries) - 1,
        at_most=len(acknowledged) + 3 * CALLERS,
        what="entries: those acknowledged, and those in flight at each kill",
    )


async def test_led_5_a_changed_store_is_refused(node: Node) -> None:
    """LED-5: A store that was tampered with is refused at start-up, and the file is named."""
    service = await node.serve(Ledger)
    payloads = [secrets.token_bytes(512) for _ in range(20)]
    for payload in payloads:
        await service.appended("test", payload)
    await service.stop()
    service = await node.serve(Ledger)
    kept = [(await service.entry(index)).payload for index in range(20)]
    if kept != payloads:
        untestable("the control does not hold after a restart what was appended")
    await service.stop()
    did("the control: the unchanged store was opened again, with all of its entries")

    tamper(node.data_dir, payloads[9])
    settings = node.settings(services=[Ledger.NAME])
    ended = await node.refused("service", Ledger.NAME, "--config", str(node.write(settings)))

    files = [str(file) for file in node.data_dir.rglob("*") if file.is_file()]
    expect(ended.says(*files), equals=True, what=f"whether a line names one of {files}")
    expect(node.leftovers(), equals=[], what="files in socket_dir")


async def _append_until_killed(service: Ledger, label: str, acknowledged: list[Any]) -> None:
    """Append by several callers without a pause, and kill the service after 100 answers."""
    enough = len(acknowledged) + 100
    killed = asyncio.Event()

    async def caller(number: int) -> None:
        for turn in itertools.count():
            answer = await service.append("test", f"{label}: {number}, {turn}".encode())
            if answer.code != "OK":
                return
            acknowledged.append(answer.response.entry)
            if len(acknowledged) >= enough and not killed.is_set():
                killed.set()
                await service.process.kill()

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    await service.hang_up()
    expect(killed.is_set(), equals=True, what=f"enough was appended before the kill ({label})")
