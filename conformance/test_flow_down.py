"""Chapter 11: uploads while the service that is asked for their owner is down (FLOW-2)."""

import asyncio
import signal
import time
from dataclasses import dataclass
from typing import Any

from .harness.bounds import until
from .harness.company import Company
from .harness.history import expect_elapsed
from .harness.identity import Identity
from .harness.judging import did, expect
from .harness.nodes import Node, peer_credentials
from .harness.storage import Storage

THRESHOLD = 2
"""Failures that open the circuit, as the suite configures it."""

CALL, HALF_OPEN = 0.4, 0.5
"""Seconds: `circuit.timeout` and `circuit.half_open_timeout`."""

OUTER = 4.0
"""Seconds: deadline of an upload, ten times what its call to identity may take."""

FAST = 0.1
"""Seconds in which an upload is refused while the circuit is open (CONFORMANCE.md, FLOW-2)."""

BACK = HALF_OPEN + 2.0
"""Seconds until uploads work again (CONFORMANCE.md, FLOW-2)."""

BREAKER: dict[str, Any] = {
    "circuit": {
        "failure_threshold": THRESHOLD,
        "success_threshold": 1,
        "timeout": f"{CALL}s",
        "half_open_timeout": f"{HALF_OPEN}s",
    },
    "retry": {"max_attempts": 1},
    # What is down is found out by calls, and not by checks before them.
    "health": {"interval": "30s", "watch_interval": "0.2s"},
    "registry": {"rescan_interval": "0.3s"},
}


@dataclass(frozen=True, slots=True)
class Tried:
    """How an upload ended, and when."""

    code: str
    begin: float
    """On the monotonic clock."""
    elapsed: float
    """Seconds."""


async def test_flow_2_uploads_fail_fast_while_identity_is_down(node: Node) -> None:
    """FLOW-2: Uploads fail in time while identity is down, then at once, and then work again."""
    company = Company(node, "identity")
    settings, names = company.settings | BREAKER, ("identity", "storage")
    identity, storage = await asyncio.gather(
        node.serve(Identity, settings, beside=names), node.serve(Storage, settings, beside=names)
    )
    process = peer_credentials(storage.path)
    as_owner = storage.connect(metadata=company.caller((await identity.create()).did))
    count = 0

    async def upload() -> Tried:
        nonlocal count
        count += 1
        begin = time.monotonic()
        answer = await storage.upload(f"file-{count}", b"x", channel=as_owner, timeout=OUTER)
        return Tried(answer.code, begin, time.monotonic() - begin)

    async def works() -> bool:
        return (await upload()).code == "OK"

    expect((await upload()).code, equals="OK", what="an upload before")
    identity.process.signal(signal.SIGSTOP)
    await _expect_refused(upload, "identity hangs")
    identity.process.signal(signal.SIGCONT)
    await until(works, bound=BACK, what="uploads work once identity goes on", every=0.02)

    await identity.kill()
    did("killed identity")
    await _expect_refused(upload, "identity is dead")
    await node.serve(Identity, settings, beside=names)
    await until(works, bound=BACK, what="uploads work once identity is back", every=0.02)
    expect(peer_credentials(storage.path), equals=process, what="PID and user of storage")


async def _expect_refused(upload: Any, when: str) -> None:
    """Upload until the circuit is open, and once more."""
    tried = [await upload() for _ in range(THRESHOLD)]
    refused = [await upload() for _ in range(3)]
    did(f"while {when}: {[f'{one.code} after {one.elapsed:.3f} s' for one in (*tried, *refused)]}")
    expect(
        [one.code for one in (*tried, *refused)],
        equals=["UNAVAILABLE"] * (THRESHOLD + 3),
        what=f"codes of uploads while {when}",
    )
    fastest = min(refused, key=lambda one: one.elapsed)
    expect_elapsed(
        fastest.elapsed,
        since=fastest.begin,
        at_most=FAST,
        what=f"time of an upload once the circuit is open, while {when}",
    )
