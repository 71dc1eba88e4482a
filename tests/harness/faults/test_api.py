"""The HTTP API: what it answers, and how it refuses."""

from pathlib import Path
from typing import Any

import pytest
import requests

from conformance.harness.faults.toxiproxy import Server

REFUSED: dict[str, tuple[str, str, Any, int, str]] = {
    "no proxy": ("GET", "proxies/none", None, 404, "proxy not found"),
    "no toxic": ("GET", "proxies/a/toxics/none", None, 404, "toxic not found"),
    "a toxic that is not there": ("PATCH", "proxies/a/toxics/none", {}, 404, "toxic not found"),
    "a proxy twice": ("POST", "proxies", {"name": "a", "upstream": "h:1"}, 409,
                      "proxy already exists"),
    "no name": ("POST", "proxies", {"upstream": "h:1"}, 400, "missing required field: name"),
    "no upstream": ("POST", "proxies", {"name": "b"}, 400, "missing required field: upstream"),
    "no body": ("POST", "proxies", None, 400, "bad request body: EOF"),
    "a list": ("POST", "proxies", [], 400, "bad request body: [] is no object"),
    "no address": ("POST", "proxies", {"name": "b", "upstream": "x"}, 400,
                   "bad request body: upstream: 'x' is neither host:port nor unix:path"),
    "no port": ("POST", "proxies", {"name": "b", "upstream": "h:70000"}, 400,
                "bad request body: upstream: 'h:70000' is neither host:port nor unix:path"),
    "no truth": ("POST", "proxies", {"name": "b", "upstream": "h:1", "enabled": "yes"}, 400,
                 "bad request body: enabled: 'yes' is no truth value"),
    "no mode": ("POST", "proxies", {"name": "b", "upstream": "h:1", "mode": "rw"}, 400,
                "bad request body: mode: 'rw' is none in octal"),
    "no type": ("POST", "proxies/a/toxics", {}, 400, "invalid toxic type"),
    "no stream": ("POST", "proxies/a/toxics", {"type": "noop", "stream": "x"}, 400,
                  "stream was invalid, can be either upstream or downstream"),
    "a toxic twice": ("POST", "proxies/a/toxics", {"type": "noop"}, 409, "toxic already exists"),
    "a negative": ("POST", "proxies/a/toxics", {"type": "latency", "attributes": {"latency": -5}},
                   400, "bad request body: latency: -5 is less than 0"),
    "a fraction": ("POST", "proxies/a/toxics", {"type": "latency", "attributes": {"latency": 1.5}},
                   400, "bad request body: latency: 1.5 is no whole number"),
    "a truth": ("POST", "proxies/a/toxics", {"type": "bandwidth", "attributes": {"rate": True}},
                400, "bad request body: rate: True is no whole number"),
    "slices of nothing": ("POST", "proxies/a/toxics", {"type": "slicer"}, 400,
                          "bad request body: average_size: 0 is less than 1"),
    "another attribute": ("POST", "proxies/a/toxics",
                          {"type": "latency", "attributes": {"latncy": 5}}, 400,
                          "bad request body: attributes: latency has no latncy"),
    "much toxicity": ("POST", "proxies/a/toxics", {"type": "latency", "toxicity": 2}, 400,
                      "bad request body: toxicity: 2 is not between 0 and 1"),
    "a change to the worse": ("PATCH", "proxies/a/toxics/noop_downstream", {"toxicity": -1}, 400,
                              "bad request body: toxicity: -1 is not between 0 and 1"),
}  # fmt: skip


def asked(server: Server, method: str, path: str, body: Any = None, **how: Any) -> Any:
    return requests.request(method, f"{server.url}/{path}", json=body, timeout=5, **how)


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_told_as_text_that_holds_json(server: Server, case: str) -> None:
    server.create("127.0.0.1:1", "a").add_toxic("noop")
    method, path, body, status, message = REFUSED[case]

    answer = asked(server, method, path, body)

    assert (answer.status_code, answer.json()) == (status, {"error": message, "status": status})
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert list(server.proxies()) == ["a"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("GET", "nowhere", {}, (404, "404 page not found\n")),
        ("PUT", "proxies", {}, (405, "")),
        ("GET", "version", {"User-Agent": "Mozilla/5.0"}, (403, "User agent not allowed\n")),
    ],
)
def test_what_is_no_request_of_the_api(
    server: Server, method: str, path: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = asked(server, method, path, headers=headers)

    assert (answer.status_code, answer.text) == expected


def test_a_port_in_use_is_told(server: Server) -> None:
    first = server.create("127.0.0.1:1", "a")

    answer = asked(
        server, "POST", "proxies", {"name": "b", "upstream": "h:1", "listen": first.listen}
    )

    assert answer.status_code == 500
    assert answer.json()["error"] == f"listen tcp {first.listen}: bind: address already in use"


@pytest.mark.parametrize("kind", ["file", "live"])
def test_a_path_in_use_is_told_and_left(server: Server, socket_dir: Path, kind: str) -> None:
    path = socket_dir / "p.sock"
    if kind == "file":
        path.write_text("mine")
    else:
        server.create("127.0.0.1:1", "a", f"unix:{path}")
    before = path.lstat().st_ino

    answer = asked(
        server, "POST", "proxies", {"name": "b", "upstream": "h:1", "listen": f"unix://{path}"}
    )

    assert answer.status_code == 500
    assert answer.json()["error"].endswith("bind: address already in use")
    assert path.lstat().st_ino == before


def test_what_a_toxic_is_told_as(server: Server) -> None:
    server.create("127.0.0.1:1", "a")
    path = "proxies/a/toxics"

    made = asked(server, "POST", path, {"type": "latency", "attributes": {"latency": 5}})
    changed = asked(server, "PATCH", f"{path}/latency_downstream", {"attributes": {"jitter": 7}})
    gone = asked(server, "DELETE", f"{path}/latency_downstream")

    told = {"name": "latency_downstream", "type": "latency", "stream": "downstream", "toxicity": 1}
    assert (made.status_code, made.json()) == (
        200, told | {"attributes": {"latency": 5, "jitter": 0}}
    )  # fmt: skip
    assert changed.json() == told | {"attributes": {"latency": 5, "jitter": 7}}
    assert (gone.status_code, gone.text) == (204, "")
    assert asked(server, "GET", path).json() == []


def test_a_proxy_can_be_moved_and_keeps_its_toxics(server: Server) -> None:
    proxy = server.create("127.0.0.1:1", "a")
    proxy.add_toxic("noop")
    before = proxy.listen

    proxy.update(listen="127.0.0.1:0", upstream="127.0.0.1:2")

    assert proxy.listen != before
    assert proxy.upstream == "127.0.0.1:2"
    assert list(proxy.toxics()) == ["noop_downstream"]


def test_populate_keeps_what_is_unchanged(server: Server) -> None:
    kept, moved = server.create("127.0.0.1:1", "kept"), server.create("127.0.0.1:1", "moved")
    for proxy in (kept, moved):
        proxy.add_toxic("noop")

    found = server.populate(
        [
            {"name": "kept", "listen": kept.listen, "upstream": "127.0.0.1:1"},
            {"name": "moved", "listen": moved.listen, "upstream": "127.0.0.1:2"},
            {"name": "new", "upstream": "127.0.0.1:1"},
        ]
    )

    assert {proxy.name: list(proxy.toxics()) for proxy in found} == {
        "kept": ["noop_downstream"],
        "moved": [],
        "new": [],
    }


def test_populate_says_which_is_wrong_and_makes_none(server: Server) -> None:
    answer = asked(server, "POST", "populate", [{"name": "b", "upstream": "h:1"}, {"name": "c"}])

    assert (answer.status_code, answer.json()) == (
        400,
        {
            "error": "missing required field: upstream at proxy 2",
            "status": 400,
            "proxies": None,
        },
    )
    assert server.proxies() == {}


def test_reset_enables_all_and_removes_toxics(server: Server) -> None:
    proxy = server.create("127.0.0.1:1", "a", enabled=False)
    proxy.add_toxic("noop")

    server.reset()

    assert proxy.refresh().enabled
    assert proxy.toxics() == {}


def test_bytes_are_exposed_as_metrics(server: Server) -> None:
    proxy = server.create("127.0.0.1:1", "a")

    text = asked(server, "GET", "metrics").text

    assert (
        'toxiproxy_proxy_received_bytes_total{direction="upstream",proxy="a",'
        f'listener="{proxy.listen}",upstream="127.0.0.1:1"}} 0' in text
    )
