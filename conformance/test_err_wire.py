"""Chapter 20: broken HTTP/2, as a service meets it (ERR-4)."""

import asyncio
from collections.abc import Awaitable
from contextlib import nullcontext
from typing import Any

import pytest

from blackhole.identity.v1 import identity_pb2 as pb

from .harness.addresses import Address
from .harness.forged import CLIENTS, Client
from .harness.forger import Forger
from .harness.identity import HEALTH, SERVICE, Identity
from .harness.judging import expect
from .harness.memory import watched
from .harness.raw import RawConnection, framed

CREATE = f"/{SERVICE}/CreateDID"

MEMORY = 30
"""MiB by which a service may grow (CONFORMANCE.md, ERR-4): the bombs bring 48 to 64."""

SERVED = ("before", "in flight all the while", "meanwhile", "afterwards, on a new connection")


@pytest.mark.parametrize("case", CLIENTS.values(), ids=CLIENTS)
async def test_err_4_broken_http_2_harms_nobody_else(identity: Identity, case: Client) -> None:
    """ERR-4: Broken HTTP/2 ends its own connection at most, and costs no more than a bound."""
    watching: Any = watched(identity.process) if identity.has_process else nullcontext()
    async with RawConnection(identity.address) as other, Forger(identity.address) as forger:
        held = await other.hold(CREATE, pb.CreateDIDRequest(method="key"))
        before = await _check(other)
        if case.opens:
            await forger.greet()
        else:
            async with Forger(identity.address) as control:
                await control.greet()

        async with watching as memory:
            ending, meanwhile = await _both(forger.forge(case), _check(other))
        in_flight = await held.release()
    after = await _check_anew(identity.address)

    statuses = (before, in_flight.grpc_status, meanwhile, after)
    expect(
        dict(zip(SERVED, statuses, strict=True)),
        equals=dict.fromkeys(SERVED, "0"),
        what=f"grpc-status of other callers' calls, beside a connection with {case.what}",
    )
    expect(ending, one_of=sorted(case.permitted), what=f"what becomes of {case.what}", show=str)
    if memory is not None:
        expect(memory.growth, at_most=MEMORY, what=f"MiB by which {case.what} make a service grow")


async def _check(raw: RawConnection) -> str | None:
    """Call Check; None: there is no answer."""
    answer = await raw.call(f"/{HEALTH}/Check", framed(b""))
    return answer.grpc_status


async def _check_anew(address: Address) -> str | None:
    """Call Check on a connection of its own; None: there is no answer, or no connection."""
    try:
        async with RawConnection(address) as raw:
            return await _check(raw)
    except OSError:
        return None


async def _both(first: Awaitable[Any], second: Awaitable[Any]) -> tuple[Any, Any]:
    """Wait for both, also where one of them fails."""
    found = await asyncio.gather(first, second, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found[0], found[1]
