"""The orchestrator's configuration: defaults, the order of services, and every refusal."""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from reference.config.orchestrator import (
    OrchestratorSettings,
    Restarts,
    command_of,
    in_order,
    load,
)
from reference.config.reading import ConfigError

HERE = [sys.executable]
"""A command that can be executed."""


def _load(tmp_path: Path, services: Any, **more: Any) -> OrchestratorSettings:
    file = tmp_path / "node.json"
    entries = {name: {"command": HERE} | entry for name, entry in services.items()}
    file.write_text(json.dumps({"socket_dir": "/s", "services": entries} | more))
    return load(file)


def test_what_is_left_out_has_the_defaults_of_the_schema(tmp_path: Path) -> None:
    settings = _load(tmp_path, {"a": {}})

    assert settings.socket == Path("/s/orchestrator.sock")
    assert settings.config == tmp_path / "node.json"
    assert (settings.health_interval, settings.health_timeout) == (10.0, 5.0)
    assert (settings.failure_threshold, settings.start_timeout) == (1, 30.0)
    assert (settings.orphan_timeout, settings.grace_period) == (5.0, 5.0)
    assert settings.restarts == Restarts(backoff=1.0, max_backoff=60.0, max_restarts=5, reset=60.0)
    assert (settings.tls, settings.auth) == (None, None)
    (one,) = settings.services
    assert (one.name, one.version, one.command, one.limits) == ("a", "", tuple(HERE), {})
    assert (one.dependencies, one.unix_socket, one.tcp_address) == ((), None, "")


def test_services_come_after_those_that_they_depend_on(tmp_path: Path) -> None:
    services = {
        "a": {"dependencies": ["c", "b"]},
        "b": {"dependencies": ["d"]},
        "c": {},
        "d": {},
    }

    order = [service.name for service in _load(tmp_path, services).services]

    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("d") < order.index("b") < order.index("a")
    assert order.index("c") < order.index("a")


def test_a_cycle_is_named_in_its_direction() -> None:
    with pytest.raises(ConfigError) as refused:
        in_order({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})

    told = str(refused.value)
    assert any(f"{x} -> {y} -> {z} -> {x}" in told for x, y, z in ("abc", "bca", "cab")), told
    assert told.startswith(f"services.{told.split(': ')[2][0]}.dependencies: a cycle")


def test_a_service_that_depends_on_itself_is_a_cycle() -> None:
    with pytest.raises(ConfigError, match=r"services\.a\.dependencies: a cycle: a -> a"):
        in_order({"a": ["a"]})


@pytest.mark.parametrize(
    ("restarts", "delay"), [(0, 1.0), (1, 2.0), (2, 4.0), (3, 5.0), (2000, 5.0)]
)
def test_delays_double_up_to_the_cap(restarts: int, delay: float) -> None:
    assert Restarts(1.0, 5.0, 9, 60.0).delay(restarts) == delay


_, MOST = resource.getrlimit(resource.RLIMIT_NOFILE)
TLS = {"tls": {"cert_file": "c", "key_file": "k", "ca_file": "a"}}

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no service": ({}, {}, "services: there is none to start"),
    "a name": ({"A b": {}}, {}, "services: 'A b' is no service name"),
    "its own name": ({"orchestrator": {}}, {}, "services: 'orchestrator' is no service name"),
    "a version": ({"a": {"version": "one"}}, {}, "services.a.version: 'one' is no semantic"),
    "an unknown dependency": (
        {"a": {"dependencies": ["b"]}},
        {},
        "services.a.dependencies: there is no entry for 'b'",
    ),
    "one port": (
        {"a": {"tcp": {"port": 7}}, "b": {"tcp": {"port": 7}}},
        TLS,
        "services.b.tcp: localhost:7 is services.a.tcp's too",
    ),
    "one socket": (
        {"a": {"unix_socket": "/s/b.sock"}, "b": {}},
        {},
        "services.b.unix_socket: /s/b.sock is services.a.unix_socket's too",
    ),
    "a missing command": (
        {"a": {"command": ["/nowhere"]}},
        {},
        "services.a.command: '/nowhere' cannot be executed",
    ),
    "a command that is no program": (
        {"a": {"command": [__file__]}},
        {},
        f"services.a.command: {__file__!r} cannot be executed",
    ),
    "no files": (
        {"a": {"limits": {"open_files": 0}}},
        {},
        "services.a.limits.open_files: must be above zero",
    ),
    "no time": (
        {"a": {"limits": {"cpu_time": "0s"}}},
        {},
        "services.a.limits.cpu_time: must be above zero",
    ),
    "more files than there may be": (
        {"a": {"limits": {"open_files": MOST + 1}}},
        {},
        f"services.a.limits.open_files: {MOST + 1} is above this process's own, {MOST}",
    ),
    "no interval": ({"a": {}}, {"health": {"interval": "0s"}}, "health.interval: must be above"),
    "no time to start": (
        {"a": {}},
        {"orchestrator": {"start_timeout": "0s"}},
        "orchestrator.start_timeout: must be above zero",
    ),
    "no time for orphans": (
        {"a": {}},
        {"orchestrator": {"orphan_timeout": "0s"}},
        "orchestrator.orphan_timeout: must be above zero",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_by_its_field(tmp_path: Path, case: str) -> None:
    services, more, told = REFUSED[case]

    with pytest.raises(ConfigError) as refused:
        _load(tmp_path, services, **more)

    assert told in str(refused.value)


def test_limits_are_by_the_kernels_numbers_and_whole_seconds(tmp_path: Path) -> None:
    asked = {
        "open_files": 64,
        "address_space_bytes": 1 << 32,
        "cpu_time": "1.5s",
        "processes": 10,
    }

    (one,) = _load(tmp_path, {"a": {"limits": asked}}).services

    assert one.limits == {
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_AS: 1 << 32,
        resource.RLIMIT_CPU: 2,
        resource.RLIMIT_NPROC: 10,
    }


def test_without_a_command_it_is_this_programs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["python", "-X", "dev", "-m", "reference", "orchestrator", "--config", "f"]
    monkeypatch.setattr(sys, "orig_argv", given)

    own = (sys.executable, "-X", "dev", "-m", "reference", "service", "identity")
    assert command_of("identity", []) == own
