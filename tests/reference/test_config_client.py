"""The client's configuration: defaults of the schema, and every way in which it is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from reference.config.client import DriverSettings, load
from reference.config.reading import ConfigError


def _load(tmp_path: Path, content: Any) -> DriverSettings:
    file = tmp_path / "node.json"
    file.write_text(json.dumps(content))
    return load(file)


def test_nothing_is_all_defaults(tmp_path: Path) -> None:
    settings = _load(tmp_path, {})

    assert settings.socket == Path("/var/run/blackhole/driver.sock")
    client = settings.client
    assert (client.default_timeout, client.max_message_bytes) == (30.0, 52428800)
    assert (client.pool.max_conns, client.pool.max_idle_conns) == (1, 16)
    assert (client.pool.idle_timeout, client.pool.keep_alive) == (300.0, 30.0)
    assert (client.retry.max_attempts, client.retry.multiplier) == (3, 2.0)
    assert client.retry.retryable == {"UNAVAILABLE"}
    assert (client.circuit.failure_threshold, client.circuit.success_threshold) == (5, 2)
    assert "RESOURCE_EXHAUSTED" in client.circuit.failures
    assert (client.batch.max_size, client.batch.max_wait) == (100, 0.01)
    assert client.registry.registrations == ()
    assert client.tls is None


def test_what_says_where_it_is_is_registered(tmp_path: Path) -> None:
    services = {
        "both": {"unix_socket": "/s", "tcp": {"port": 1}, "version": "1.2.3"},
        "port": {"tcp": {"host": "h", "port": 65535}},
        "six": {"tcp": {"host": "::1", "port": 2}},
        "neither": {"metadata": {"a": "b"}},
    }

    registry = _load(tmp_path, {"services": services}).client.registry

    found = [(each.name, each.version, each.tcp_address) for each in registry.registrations]
    assert found == [
        ("both", "1.2.3", "localhost:1"),
        ("port", "", "h:65535"),
        ("six", "", "[::1]:2"),
    ]
    assert registry.metadata["neither"] == {"a": "b"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"services": {"a/b": {}}}, "services: 'a/b' is no service name"),
        ({"services": {"a": {"version": "1"}}}, "services.a.version: '1' is no semantic version"),
        ({"services": {"a": {"tcp": {}}}}, "services.a.tcp.port: must be 1 to 65535"),
        ({"services": {"a": {"tcp": {"port": 65536}}}}, "services.a.tcp.port: must be 1 to 65535"),
        ({"retry": {"backoff_multiplier": 0.5}}, "retry.backoff_multiplier: must be at least 1"),
        ({"retry": {"backoff_multiplier": "NaN"}}, "retry.backoff_multiplier: must be at least 1"),
        ({"retry": {"jitter": 1.5}}, "retry.jitter: must be 0 to 1"),
        ({"retry": {"retryable_codes": ["OK"]}}, "retry.retryable_codes: 0 is no code"),
        ({"circuit": {"failure_codes": [99]}}, "circuit.failure_codes: 99 is no code"),
        ({"retry": {"max_attempts": 0}}, "retry.max_attempts: must be at least 1"),
        ({"pool": {"keep_alive": "0s"}}, "pool.keep_alive: must be above zero"),
        ({"default_timeout": "0s"}, "default_timeout: must be above zero"),
        ({"tls": {}}, "tls.cert_file: must be given"),
        ({"auth": {}}, "auth.token_file: must be given"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, content: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, content)

    assert str(caught.value).startswith(told)
