"""The ten things that toxiproxy-python gets wrong, mended: each by the number it has there."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests
import toxiproxy.exceptions

from conformance.harness.faults import toxiproxy as mended
from conformance.harness.faults.server import FaultProcess, embedded
from conformance.harness.faults.toxiproxy import (
    ApiError,
    InvalidToxicError,
    NotFoundError,
    Proxy,
    ProxyExistsError,
    Server,
    ToxicExistsError,
)


@pytest.fixture
def proxy(server: Server) -> Proxy:
    return server.create("127.0.0.1:1", "a")


@pytest.fixture
def busy() -> Iterator[str]:
    """An address at which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_1_any_failure_is_an_error_with_the_servers_words(server: Server, busy: str) -> None:
    with pytest.raises(ApiError, match="address already in use") as raised:
        server.create("127.0.0.1:1", "a", busy)

    assert raised.value.status == 500


def test_1_what_is_no_json_is_told_as_it_is() -> None:
    class Broken(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b"<html>timeout</html>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Broken) as broken:
        thread = threading.Thread(target=broken.handle_request)
        thread.start()
        server = Server(f"http://127.0.0.1:{broken.server_port}")
        with pytest.raises(ApiError, match="503: <html>timeout</html>"):
            server.proxies()
        thread.join()
        server.close()


def test_2_enabling_fails_where_the_server_does(proxy: Proxy) -> None:
    proxy.disable()
    host, _, port = proxy.listen.rpartition(":")
    with socket.create_server((host, int(port))):
        with pytest.raises(ApiError, match="address already in use"):
            proxy.enable()
        assert not proxy.enabled
    proxy.enable()

    assert proxy.enabled


def test_3_each_server_has_an_address_of_its_own(server: Server) -> None:
    other: FaultProcess = embedded()
    other.server.create("127.0.0.1:1", "there")
    server.create("127.0.0.1:1", "here")

    assert (list(server.proxies()), list(other.server.proxies())) == (["here"], ["there"])
    other.close()


def test_4_a_server_that_says_nothing_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mended, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        server, begun = Server(f"http://127.0.0.1:{mute.getsockname()[1]}"), time.monotonic()
        with pytest.raises(requests.Timeout):
            server.proxies()
        assert not server.running()
        server.close()

    assert time.monotonic() - begun < 2


def test_5_no_proxy_of_the_environment_is_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    assert server.running()


def test_6_each_refusal_is_what_it_is(server: Server, proxy: Proxy) -> None:
    proxy.add_toxic("noop")

    with pytest.raises(ProxyExistsError) as exists:
        server.create("127.0.0.1:1", "a")
    with pytest.raises(ToxicExistsError):
        proxy.add_toxic("noop")
    with pytest.raises(NotFoundError) as missing:
        server.proxy("none")
    with pytest.raises(ApiError) as refused:
        server.create("nowhere", "b")

    assert isinstance(exists.value, toxiproxy.exceptions.ProxyExists)
    assert isinstance(missing.value, toxiproxy.exceptions.NotFound)
    assert str(missing.value) == "404: proxy not found"
    assert type(refused.value) is ApiError


def test_7_toxics_are_changed_and_removed(proxy: Proxy) -> None:
    with proxy.add_toxic("latency", latency=5) as toxic:
        toxic.update(toxicity=0.5, jitter=3)
        (seen,) = proxy.toxics().values()
        assert (seen.attributes, seen.toxicity) == ({"latency": 5, "jitter": 3}, 0.5)
        assert (toxic.attributes, toxic.toxicity) == (seen.attributes, seen.toxicity)
    assert proxy.toxics() == {}

    with proxy.upstream_toxic("noop") as toxic:
        proxy.destroy()
    assert toxic.name == "noop_upstream"


def test_7_a_proxy_is_moved(proxy: Proxy) -> None:
    proxy.update(upstream="127.0.0.1:2")

    assert proxy.server.proxy("a").upstream == "127.0.0.1:2"


def test_8_populate_keeps_proxies_and_their_toxics(server: Server, proxy: Proxy) -> None:
    proxy.add_toxic("noop")

    (found,) = server.populate([{"name": "a", "listen": proxy.listen, "upstream": proxy.upstream}])

    assert list(found.toxics()) == ["noop_downstream"]


@pytest.mark.parametrize("before", [True, False])
def test_9_down_leaves_a_proxy_as_it_was(proxy: Proxy, before: bool) -> None:  # noqa: FBT001
    proxy.update(enabled=before)

    with pytest.raises(ZeroDivisionError), proxy.down():
        assert not proxy.refresh().enabled
        raise ZeroDivisionError

    assert proxy.refresh().enabled is before


@pytest.mark.parametrize("name", ["a b", "ä", "50%", "a?b#c"])
def test_10_names_are_quoted_and_answers_are_believed(server: Server, name: str) -> None:
    proxy = server.create("127.0.0.1:1", name)
    same = server.proxy(name)
    same.disable()

    assert proxy.enabled
    assert not proxy.refresh().enabled
    assert proxy.listen != "127.0.0.1:0"
    assert server.destroy(name)
    with pytest.raises(NotFoundError):
        server.destroy(name)
    assert isinstance(server.version(), str)


@pytest.mark.parametrize(
    ("kind", "attributes", "message"),
    [
        ("nothing", {}, "invalid toxic type"),
        ("slicer", {}, "average_size: 0 is less than 1"),
        ("bandwidth", {"rate": -1}, "rate: -1 is less than 0"),
        ("latency", {"latency": 0.5}, "latency: 0.5 is no whole number"),
        ("latency", {"latncy": 5}, "latency has no latncy"),
        ("reset_peer", {"timeout": 30_000}, "timeout: 30000 is more than 5000"),
    ],
)
def test_what_would_break_a_server_is_not_sent(
    proxy: Proxy, kind: str, attributes: dict[str, int], message: str
) -> None:
    with pytest.raises(InvalidToxicError, match=message):
        proxy.add_toxic(kind, attributes=attributes)


def test_what_the_package_does_well_is_its_own(server: Server, proxy: Proxy) -> None:
    proxy.add_toxic("noop")

    assert server.get_proxy("a").name == "a"
    assert server.get_proxy("none") is None
    assert proxy.get_toxic("noop_downstream").type == "noop"
    server.destroy_all()
    assert server.proxies() == {}
