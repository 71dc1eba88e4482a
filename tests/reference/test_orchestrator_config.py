"""What a node's configuration must be before anything of it is started."""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from reference.config.orchestrator import Restarts, Service, command_of, in_order, load
from reference.config.reading import ConfigError

TRUE = ["/bin/true"]


@pytest.fixture(autouse=True)
def started_as(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["python", "-m", "reference", "orchestrator", "--config", "node.json"]
    monkeypatch.setattr(sys, "orig_argv", argv)


def _load(tmp_path: Path, services: dict[str, Any], **more: Any) -> Any:
    file = tmp_path / "node.json"
    content = {"socket_dir": str(tmp_path / "s"), "services": services} | more
    file.write_text(json.dumps(content), encoding="utf-8")
    return load(file)


def test_defaults_are_those_of_the_schema(tmp_path: Path) -> None:
    settings = _load(tmp_path, {"identity": {}})

    assert settings.socket == tmp_path / "s" / "orchestrator.sock"
    assert settings.config == tmp_path / "node.json"
    assert (settings.health_interval, settings.health_timeout) == (10.0, 5.0)
    assert (settings.failure_threshold, settings.start_timeout) == (1, 30.0)
    assert settings.restarts == Restarts(1.0, 60.0, 5, 60.0)
    assert settings.orphan_timeout == 5.0
    own = (sys.executable, "-m", "reference", "service", "identity")
    assert settings.services == (Service("identity", "", own, (), None, True, "", {}),)


def test_a_service_is_as_configured(tmp_path: Path) -> None:
    entry = {
        "command": TRUE,
        "version": "1.2.3",
        "unix_socket": "/run/b.sock",
        "tcp": {"host": "::1", "port": 443},
        "limits": {"open_files": 100, "cpu_time": "1.5s"},
    }
    files = {"cert_file": "/c", "key_file": "/k", "ca_file": "/a"}

    settings = _load(tmp_path, {"b": entry}, tls=files)

    limits = {resource.RLIMIT_NOFILE: 100, resource.RLIMIT_CPU: 2}
    assert settings.services == (
        Service("b", "1.2.3", ("/bin/true",), (), Path("/run/b.sock"), True, "[::1]:443", limits),
    )


def test_services_come_after_those_that_they_depend_on(tmp_path: Path) -> None:
    services = {"a": {"dependencies": ["b", "c"]}, "b": {"dependencies": ["c"]}, "c": {}, "d": {}}

    order = [one.name for one in _load(tmp_path, services).services]

    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("c") < order.index("b") < order.index("a")


HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing to start": ({}, "services: there is none to start"),
    "unknown dependency": (
        {"a": {"dependencies": ["b"]}},
        "services.a.dependencies: there is no entry for 'b'",
    ),
    "own dependency": ({"a": {"dependencies": ["a"]}}, "a cycle: a -> a"),
    "name": ({"a/b": {}}, "services: 'a/b' is no service name"),
    "its own name": ({"orchestrator": {}}, "services: 'orchestrator' is no service name"),
    "version": ({"a": {"version": "1"}}, "services.a.version: '1' is no semantic version"),
    "command": ({"a": {"command": ["/no/such"]}}, "services.a.command: '/no/such' cannot be"),
    "no limit": (
        {"a": {"limits": {"processes": 0}}},
        "services.a.limits.processes: must be above zero",
    ),
    "impossible limit": (
        {"a": {"limits": {"open_files": HARD + 1}}},
        f"services.a.limits.open_files: {HARD + 1} is above this process's own, {HARD}",
    ),
    "shared socket": (
        {"a": {"unix_socket": "/x.sock"}, "b": {"unix_socket": "/x.sock"}},
        "services.b.unix_socket: /x.sock is services.a.unix_socket's too",
    ),
    "nowhere to listen": (
        {"a": {"disable_unix_socket": True}},
        "services.a.disable_unix_socket: needs services.a.tcp",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused_by_field(tmp_path: Path, case: str) -> None:
    services, told = BAD[case]

    with pytest.raises(ConfigError) as refused:
        _load(tmp_path, services)

    assert told in str(refused.value)


def test_a_port_belongs_to_one_service(tmp_path: Path) -> None:
    services = {name: {"tcp": {"port": 443}} for name in "ab"}
    files = {"cert_file": "/c", "key_file": "/k", "ca_file": "/a"}

    with pytest.raises(ConfigError, match=r"services\.b\.tcp: localhost:443 is services\.a\.tcp's"):
        _load(tmp_path, services, tls=files)


def test_a_cycle_is_told_whole() -> None:
    with pytest.raises(ConfigError) as refused:
        in_order({"a": ["b"], "b": ["c"], "c": ["a"]})

    _, _, circle = str(refused.value).partition("a cycle: ")
    assert circle in ("a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c")


def test_a_command_of_its_own_is_taken_as_it_is() -> None:
    assert command_of("a", ["sh", "-c", "true"]) == ("sh", "-c", "true")


def test_delays_double_up_to_the_longest() -> None:
    restarts = Restarts(backoff=0.5, max_backoff=3.0, max_restarts=9, reset=1.0)

    assert [restarts.delay(number) for number in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert restarts.delay(10**6) == 3.0
