"""What toxics do to connections, on Unix sockets and on TCP."""

import itertools
import socket
import time
from pathlib import Path

import pytest

from conformance.harness.faults.toxiproxy import Server

from .conftest import Wire, read, sending

WHOLE = bytes(range(256)) * 400
"""More than fits into one read."""


def test_without_toxics_all_passes_both_ways_and_is_counted(wire: Wire) -> None:
    client, server = wire.connected()
    for source, sink in ((client, server), (server, client)):
        thread = sending(source, WHOLE)
        assert read(sink, len(WHOLE)) == WHOLE
        thread.join()

    told = wire.proxy.refresh().told
    assert told["bytes"] == {
        stream: {"received": len(WHOLE), "sent": len(WHOLE)}
        for stream in ("upstream", "downstream")
    }
    assert told["connections"] == 1


@pytest.mark.parametrize("closes", ["client", "server"])
def test_the_end_of_one_side_is_the_end_of_the_other(wire: Wire, closes: str) -> None:
    client, server = wire.connected()
    first, second = (client, server) if closes == "client" else (server, client)
    first.sendall(b"last words")
    first.close()

    assert read(second, 100) == b"last words"


def test_without_an_upstream_a_client_is_sent_away(wire: Wire) -> None:
    wire.listener.close()

    assert wire.client().recv(1) == b""


def test_latency_delays_one_direction_and_is_gone_with_what_it_holds(wire: Wire) -> None:
    client, server = wire.connected()
    with wire.proxy.add_toxic("latency", latency=300):
        begun = time.monotonic()
        server.sendall(b"late")
        client.sendall(b"at once")
        assert read(server, 7) == b"at once"
        assert read(client, 4) == b"late"
        assert time.monotonic() - begun >= 0.3
        wire.proxy.toxics()["latency_downstream"].update(latency=60_000)
        server.sendall(b"held")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
    client.settimeout(10)

    assert read(client, 4) == b"held"


def test_latency_costs_no_throughput(wire: Wire) -> None:
    client, server = wire.connected()
    with wire.proxy.add_toxic("latency", latency=100):
        begun = time.monotonic()
        thread = sending(server, WHOLE * 10)
        assert read(client, len(WHOLE) * 10) == WHOLE * 10
        thread.join()

    assert 0.1 <= time.monotonic() - begun < 2


def test_bandwidth_is_no_more_than_it_says(wire: Wire) -> None:
    client, server = wire.connected()
    with wire.proxy.add_toxic("bandwidth", rate=500):
        begun = time.monotonic()
        thread = sending(server, WHOLE)
        assert read(client, len(WHOLE)) == WHOLE
        thread.join()

    assert time.monotonic() - begun >= len(WHOLE) / 500_000


def test_bandwidth_of_nothing_is_a_full_stop(wire: Wire) -> None:
    client, server = wire.connected()
    with wire.proxy.upstream_toxic("bandwidth", rate=0):
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            for _ in range(10_000):
                client.sendall(bytes(65_536))
    client.settimeout(10)

    assert read(server, 65_536) == bytes(65_536)


def test_slices_in_a_row_of_toxics_come_whole(wire: Wire) -> None:
    client, server = wire.connected()
    with (
        wire.proxy.add_toxic("latency", latency=30, jitter=20),
        wire.proxy.add_toxic("slicer", average_size=500, size_variation=300, delay=10),
    ):
        thread = sending(server, WHOLE)
        assert read(client, len(WHOLE)) == WHOLE
        thread.join()


def test_a_slow_close_is_late(wire: Wire) -> None:
    client, server = wire.connected()
    with wire.proxy.add_toxic("slow_close", delay=200):
        begun = time.monotonic()
        server.close()
        assert client.recv(1) == b""

    assert time.monotonic() - begun >= 0.2


def test_a_timeout_loses_everything_and_its_removal_ends_the_connection(wire: Wire) -> None:
    client, server = wire.connected()
    with wire.proxy.add_toxic("timeout"):
        server.sendall(b"lost")
        client.sendall(b"passes")
        assert read(server, 6) == b"passes"
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
    client.settimeout(10)

    assert client.recv(1) == b""
    again, _ = wire.connected()
    again.close()


def test_a_timeout_ends_the_connection_after_the_last_that_came(wire: Wire) -> None:
    client, server = wire.connected()
    with wire.proxy.add_toxic("timeout", timeout=200):
        server.sendall(b"lost")
        sent = time.monotonic()
        assert client.recv(1) == b""

        assert time.monotonic() - sent >= 0.2


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reset_is_one(wire: Wire, stream: str, when: str) -> None:
    if when == "before":
        wire.proxy.add_toxic("reset_peer", stream)
    client, server = wire.connected()
    if when == "after":
        wire.proxy.add_toxic("reset_peer", stream)

    sender, other = (client, server) if stream == "upstream" else (server, client)
    sender.sendall(b"never read")
    with pytest.raises(ConnectionResetError):
        sender.recv(1)
    if wire.family == socket.AF_UNIX:
        assert other.recv(1) == b""
    else:
        with pytest.raises(ConnectionResetError):
            other.recv(1)


def test_a_reset_may_wait_and_the_api_does_not(wire: Wire) -> None:
    client, _ = wire.connected()
    toxic = wire.proxy.upstream_toxic("reset_peer", timeout=200)
    begun = time.monotonic()
    client.sendall(b"x")
    assert toxic.name in wire.proxy.toxics()
    assert time.monotonic() - begun < 0.2
    with pytest.raises(ConnectionResetError):
        client.recv(1)

    assert time.monotonic() - begun >= 0.2


def test_a_reset_that_is_removed_while_it_waits_is_none(wire: Wire) -> None:
    client, server = wire.connected()
    with wire.proxy.upstream_toxic("reset_peer", timeout=5000):
        client.sendall(b"saved")

    assert read(server, 5) == b"saved"


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
@pytest.mark.parametrize("limit", [0, 1, 1000, 40_000])
def test_limited_data_are_exactly_so_many(wire: Wire, stream: str, limit: int) -> None:
    with wire.proxy.add_toxic("limit_data", stream, bytes=limit):
        for client, server in (wire.connected(), wire.connected()):
            sender, other = (client, server) if stream == "upstream" else (server, client)
            thread = sending(sender, WHOLE)
            assert read(other, len(WHOLE)) == WHOLE[:limit]
            thread.join()
    client, server = wire.connected()
    client.sendall(b"unlimited")

    assert read(server, 9) == b"unlimited"


def test_bits_are_flipped(wire: Wire) -> None:
    client, server = wire.connected()
    with wire.proxy.add_toxic("corrupt", every=1000, after=10):
        thread = sending(server, WHOLE)
        found = read(client, len(WHOLE))
        thread.join()
    flipped = sum((a ^ b).bit_count() for a, b in zip(found, WHOLE, strict=True))

    assert found[:10] == WHOLE[:10]
    assert flipped == len(WHOLE) // 1000 + 1 or flipped == len(WHOLE) // 1000


def test_toxicity_is_a_part_of_all_connections(wire: Wire) -> None:
    with wire.proxy.upstream_toxic("limit_data", bytes=0, toxicity=0.5):
        ends = [wire.connected() for _ in range(40)]
        cut = 0
        for client, server in ends:
            client.sendall(b"x")
            cut += server.recv(1) == b""

    assert 8 <= cut <= 32


def test_toxics_come_and_go_while_data_flow(wire: Wire) -> None:
    client, server = wire.connected()
    whole, found, kinds = WHOLE * 50, b"", itertools.cycle(("latency", "slicer", "bandwidth"))
    values = {"slicer": {"average_size": 9000}, "bandwidth": {"rate": 100_000}}
    thread = sending(server, whole)
    while len(found) < len(whole):
        kind = next(kinds)
        with wire.proxy.add_toxic(kind, attributes=values.get(kind)):
            found += read(client, min(1000, len(whole) - len(found)))
        found += read(client, min(len(WHOLE), len(whole) - len(found)))
    thread.join()

    assert found == whole


def test_down_closes_all_and_a_stale_file_may_stay(wire: Wire) -> None:
    client, _ = wire.connected()
    with wire.proxy.down(unlink=False):
        assert client.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            wire.client()
    again, server = wire.connected()
    again.sendall(b"back")

    assert read(server, 4) == b"back"


def test_down_takes_the_file_away_by_default(server: Server, socket_dir: Path) -> None:
    made = Wire(server, "unix", socket_dir, mode="0620")
    file = Path(made.proxy.listen.removeprefix("unix:"))
    with made.stack:
        assert file.stat().st_mode & 0o777 == 0o620
        with made.proxy.down():
            assert not file.exists()
        assert file.exists()
    assert not file.exists()


def test_connections_are_dropped_and_others_made(wire: Wire) -> None:
    client, _ = wire.connected()
    wire.proxy.drop_connections()

    assert client.recv(1) == b""
    again, server = wire.connected()
    again.sendall(b"again")
    assert read(server, 5) == b"again"


def test_luck_is_the_same_with_the_same_seed(server: Server, socket_dir: Path) -> None:
    cuts = []
    for _ in range(2):
        made = Wire(server, "unix", socket_dir)
        with made.stack:
            made.proxy.destroy()
            made.proxy = server.create(made.proxy.upstream, "lucky", made.proxy.listen)
            made.proxy.upstream_toxic("limit_data", bytes=0, toxicity=0.5)
            ends = [made.connected() for _ in range(20)]
            for client, _ in ends:
                client.sendall(b"x")
            cuts.append([far.recv(1) for _, far in ends])

    assert cuts[0] == cuts[1]


def test_what_passed_is_recorded_where_that_is_asked_for(server: Server, socket_dir: Path) -> None:
    made = Wire(server, "unix", socket_dir, record=True)
    with made.stack:
        client, far = made.connected()
        client.sendall(b"request")
        assert read(far, 7) == b"request"
        far.sendall(b"answer")
        assert read(client, 6) == b"answer"

        assert made.proxy.recorded() == [(b"request", b"answer")]
