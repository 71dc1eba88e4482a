"""The ConnectionPool: what is shared, what is dialled, and what is closed when."""

import asyncio
from collections.abc import Iterator
from itertools import product
from typing import Any

import grpc_testing
import pytest

from reference.config.client import Pool
from reference.mesh.errors import UnavailableError
from reference.mesh.pool import TRANSITIONS, ConnectionPool, Entry, Input, State


class Connection:
    """A connection that can break, and knows whether it was closed."""

    def __init__(self) -> None:
        self.ready = True
        self.closed = False

    async def close(self) -> None:
        self.ready, self.closed = False, True


class Network:
    """Dials when it is let, and keeps all connections it made."""

    def __init__(self) -> None:
        self.made: list[Connection] = []
        self.dials = 0
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def dial(self, address: str) -> Connection:
        assert address
        self.dials += 1
        await self.open.wait()
        if self.error:
            raise self.error
        self.made.append(Connection())
        return self.made[-1]


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def clock() -> Iterator[Any]:
    return grpc_testing.strict_fake_time(0.0)  # type: ignore[no-any-return]


def _pool(network: Network, clock: Any = None, **changes: Any) -> ConnectionPool:
    settings: dict[str, Any] = {
        "max_conns": 1,
        "max_idle_conns": 16,
        "idle_timeout": 300.0,
        "keep_alive": 30.0,
        "connect_timeout": 5.0,
    }
    made = Pool(**(settings | changes))
    return (
        ConnectionPool(made, network.dial, clock.time)
        if clock
        else ConnectionPool(made, network.dial)
    )


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_the_table_has_every_pair() -> None:
    assert set(TRANSITIONS) == set(product(State, Input))


@pytest.mark.parametrize("given", Input)
def test_what_is_gone_stays_gone(given: Input) -> None:
    assert TRANSITIONS[State.GONE, given] is State.GONE


async def test_calls_reuse_the_connection(network: Network) -> None:
    pool = _pool(network)

    for _ in range(10):
        pool.release(await pool.acquire("a"))

    assert (network.dials, pool.counts()) == (1, {"a": (1, 1)})
    await pool.close()


async def test_first_callers_at_once_share_one_dial(network: Network) -> None:
    pool = _pool(network)
    network.open.clear()

    callers = [asyncio.create_task(pool.acquire("a")) for _ in range(64)]
    await _settle()
    network.open.set()
    entries = await asyncio.gather(*callers)

    assert (network.dials, len(set(entries)), entries[0].users) == (1, 1, 64)
    await pool.close()


async def test_who_comes_when_the_dial_has_just_ended_gets_its_connection(
    network: Network,
) -> None:
    pool = _pool(network)
    network.open.clear()
    first = asyncio.create_task(pool.acquire("a"))
    await _settle()

    # Each caller comes one turn of the loop later than the one before.
    network.open.set()
    later = []
    for _ in range(10):
        later.append(asyncio.create_task(pool.acquire("a")))
        await asyncio.sleep(0)
    entries = await asyncio.gather(first, *later)

    assert {entry.connection for entry in entries} == {network.made[0]}
    await pool.close()


async def test_a_further_connection_only_when_all_are_in_use(network: Network) -> None:
    pool = _pool(network, max_conns=2)

    first = await pool.acquire("a")
    second = await pool.acquire("a")
    third = await pool.acquire("a")
    assert (network.dials, first is second, third in (first, second)) == (2, False, True)
    pool.release(second)
    pool.release(third)

    assert await pool.acquire("a") in (first, second)
    assert network.dials == 2
    await pool.close()


async def test_a_broken_connection_is_replaced(network: Network) -> None:
    pool = _pool(network)
    pool.release(await pool.acquire("a"))
    network.made[0].ready = False

    entry = await pool.acquire("a")

    assert entry.connection is network.made[1]
    await _settle()
    assert [one.closed for one in network.made] == [True, False]
    await pool.close()


async def test_a_dial_that_fails_fails_everybody_who_waits_and_nobody_later(
    network: Network,
) -> None:
    pool = _pool(network)
    network.error = UnavailableError("refused")

    failed = await asyncio.gather(pool.acquire("a"), pool.acquire("a"), return_exceptions=True)
    network.error = None
    entry = await pool.acquire("a")

    assert [str(one) for one in failed] == ["refused", "refused"]
    assert (network.dials, entry.users) == (2, 1)
    await pool.close()


async def test_a_caller_that_gives_up_leaves_the_dial_to_the_others(network: Network) -> None:
    pool = _pool(network)
    network.open.clear()
    impatient = asyncio.create_task(pool.acquire("a"))
    patient = asyncio.create_task(pool.acquire("a"))
    await _settle()

    impatient.cancel()
    await _settle()
    network.open.set()

    assert (await patient).users == 1
    assert network.dials == 1
    await pool.close()


async def test_a_dial_that_nobody_waits_for_any_more_idles(network: Network) -> None:
    pool = _pool(network)
    network.open.clear()
    caller = asyncio.create_task(pool.acquire("a"))
    await _settle()

    caller.cancel()
    await _settle()
    network.open.set()
    await _settle()

    assert pool.counts() == {"a": (1, 1)}
    await pool.close()


async def test_the_longest_idle_is_closed_when_there_are_too_many(network: Network) -> None:
    pool = _pool(network, max_idle_conns=2)
    entries = [await pool.acquire(address) for address in "abc"]

    for entry in entries:
        pool.release(entry)
    await _settle()

    assert [one.closed for one in network.made] == [True, False, False]
    await pool.close()


async def test_one_that_broke_while_it_idled_counts_for_nothing(network: Network) -> None:
    pool = _pool(network, max_idle_conns=2)
    entries = [await pool.acquire(address) for address in "abc"]
    for entry in entries[:2]:
        pool.release(entry)

    network.made[1].ready = False
    pool.release(entries[2])
    await _settle()

    assert [one.closed for one in network.made] == [False, True, False]
    await pool.close()


async def test_an_idle_connection_is_closed_after_its_time(network: Network, clock: Any) -> None:
    pool = _pool(network, clock, idle_timeout=0.01)
    entry = await pool.acquire("a")
    pool.release(entry)

    # The pool's timer fires by the loop's clock, and decides by the pool's.
    await asyncio.sleep(0.03)
    assert repr(entry) == "Entry('a', IDLE, users=0)"
    clock.sleep_for(0.01)
    async with asyncio.timeout(5):
        while entry.state is not State.GONE:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.002)

    await _settle()
    assert (network.made[0].closed, pool.counts()) == (True, {})


async def test_one_in_use_is_not_idle(network: Network, clock: Any) -> None:
    pool = _pool(network, clock, idle_timeout=0.01)
    entry = await pool.acquire("a")
    pool.release(entry)
    entry = await pool.acquire("a")
    clock.sleep_for(1.0)

    await asyncio.sleep(0.03)

    assert entry.state is State.BUSY
    await pool.close()


async def test_close_closes_everything_and_dials_no_more(network: Network) -> None:
    pool = _pool(network)
    busy = await pool.acquire("a")
    pool.release(await pool.acquire("b"))
    network.open.clear()
    waiting = asyncio.create_task(pool.acquire("c"))
    await _settle()

    await pool.close()

    assert [one.closed for one in network.made] == [True, True]
    with pytest.raises(UnavailableError, match="closed"):
        await waiting
    with pytest.raises(UnavailableError, match="closed"):
        await pool.acquire("a")
    pool.release(busy)
    assert repr(pool) == "ConnectionPool([])"


async def test_ready_takes_only_what_needs_no_waiting(network: Network) -> None:
    pool = _pool(network)
    assert pool.ready("a") is None

    first = await pool.acquire("a")
    shared = pool.ready("a")

    assert shared is first
    assert first.users == 2
    assert isinstance(first, Entry)
    assert repr(first) == "Entry('a', BUSY, users=2)"
    await pool.close()
