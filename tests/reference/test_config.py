"""The configuration: defaults of the schema, and every way in which a file is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from reference.config.reading import Compression, ConfigError
from reference.config.sections import Events, Storage
from reference.config.service import Settings, load
from reference.config.tls import TLS, Port


def _load(tmp_path: Path, content: Any, version: str = "") -> Settings:
    file = tmp_path / "node.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return load(file, "identity", version)


def test_an_empty_entry_is_all_defaults(tmp_path: Path) -> None:
    settings = _load(tmp_path, {"services": {"identity": {}}})

    assert settings.socket == Path("/var/run/blackhole/identity.sock")
    assert settings.data_dir == Path("/var/lib/blackhole")
    assert (settings.grace_period, settings.watch_interval) == (5.0, 5.0)
    assert (settings.limits.message, settings.limits.metadata) == (52428800, 8192)
    assert settings.compression == Compression(enabled=False, min_bytes=1024)
    assert (settings.store.max_batch_size, settings.store.max_batch_wait) == (256, 0.0)
    assert settings.identity.max_batch_items == 1000
    assert settings.identity.resolver_base_uri == "blackhole://identity/v1/identity/dids"
    assert settings.log_level == "info"


def test_sections_of_services_have_the_defaults_of_the_schema(tmp_path: Path) -> None:
    settings = _load(tmp_path, {"services": {"identity": {}}})

    assert settings.events == Events(subscriber_buffer=100, max_subscribers=10000)
    assert settings.storage == Storage(flush_chunks=100, max_chunk_bytes=4194304)


PEERS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "identity alone": ("identity", {"identity": {}}, set()),
    "identity announces": ("identity", {"identity": {}, "events": {}}, {"events"}),
    "storage alone": ("storage", {"storage": {}, "identity": {}, "ledger": {}}, set()),
    "storage asks": ("storage", {"storage": {"dependencies": ["identity"]}}, {"identity"}),
    "storage records": (
        "storage",
        {"storage": {"dependencies": ["ledger", "events", "identity"]}},
        {"identity", "ledger"},
    ),
    "ledger": ("ledger", {"ledger": {"dependencies": ["identity"]}, "events": {}}, set()),
}


@pytest.mark.parametrize("case", PEERS)
def test_a_service_calls_those_that_it_is_told_of(tmp_path: Path, case: str) -> None:
    name, services, peers = PEERS[case]
    file = tmp_path / "node.json"
    file.write_text(json.dumps({"services": services}))

    settings = load(file, name)

    assert settings.peers == peers
    assert (settings.client is not None) is bool(peers)


def test_a_version_is_part_of_the_sockets_name(tmp_path: Path) -> None:
    content = {"socket_dir": "/s", "services": {"identity": {"version": "1.0.0"}}}

    assert _load(tmp_path, content).socket == Path("/s/identity@1.0.0.sock")
    assert _load(tmp_path, content, "2.0.0").socket == Path("/s/identity@2.0.0.sock")


def test_a_socket_of_its_own_wins(tmp_path: Path) -> None:
    content = {"services": {"identity": {"unix_socket": "/x/y.sock"}}}

    assert _load(tmp_path, content, "2.0.0").socket == Path("/x/y.sock")


def test_a_size_of_zero_is_zero_and_not_the_default(tmp_path: Path) -> None:
    content = {"services": {"identity": {}}, "compression": {"min_bytes": 0, "enabled": True}}

    assert _load(tmp_path, content).compression == Compression(enabled=True, min_bytes=0)


TLS_FILES = {"cert_file": "/c", "key_file": "/k", "ca_file": "/a"}


def test_a_port_and_how_it_is_reached(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"tcp": {"port": 443}}
    content = {"services": {"identity": entry}, "tls": TLS_FILES}

    settings = _load(tmp_path, content)

    tls = TLS(
        Path("/c"),
        Path("/k"),
        Path("/a"),
        server_name="",
        reload_interval=60.0,
        handshake_timeout=10.0,
    )
    assert settings.port == Port("identity", "localhost", 443, tls)
    assert (settings.port.field, settings.port.address) == (
        "services.identity.tcp",
        "localhost:443",
    )
    assert settings.socket == Path("/var/run/blackhole/identity.sock")

    content["tls"] = TLS_FILES | {
        "server_name": "x",
        "reload_interval": "0.5s",
        "handshake_timeout": "2s",
    }
    entry |= {"tcp": {"host": "::1", "port": 1}, "disable_unix_socket": True}
    settings = _load(tmp_path, content)

    tls = TLS(
        Path("/c"),
        Path("/k"),
        Path("/a"),
        server_name="x",
        reload_interval=0.5,
        handshake_timeout=2.0,
    )
    assert settings.port == Port("identity", "::1", 1, tls)
    assert settings.port.address == "[::1]:1"
    assert settings.socket is None


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "line 1"),
    "not UTF-8": ("\udcff", "utf-8"),
    "unknown field": ({"nope": 1}, "nope"),
    "unknown nested": ({"limits": {"nope": 1}}, "nope"),
    "wrong type": ({"grace_period": 5}, "grace_period"),
    "no entry": ({"services": {"storage": {}}}, "services"),
    "negative": ({"grace_period": "-1s"}, "grace_period"),
    "negative nested": ({"store": {"max_batch_wait": "-0.1s"}}, "store.max_batch_wait"),
    "negative in a map": (
        {"services": {"identity": {"limits": {"cpu_time": "-1s"}}}},
        "services.identity.limits.cpu_time",
    ),
    "zero interval": ({"health": {"watch_interval": "0s"}}, "health.watch_interval"),
    "zero buffer": ({"events": {"subscriber_buffer": 0}}, "events.subscriber_buffer"),
    "zero subscribers": ({"events": {"max_subscribers": 0}}, "events.max_subscribers"),
    "zero chunks": ({"storage": {"flush_chunks": 0}}, "storage.flush_chunks"),
    "zero chunk": ({"storage": {"max_chunk_bytes": 0}}, "storage.max_chunk_bytes"),
    "client of one that calls": (
        {"services": {"identity": {}, "events": {}}, "retry": {"jitter": 2}},
        "retry.jitter",
    ),
    "zero maximum": ({"limits": {"max_message_bytes": 0}}, "limits.max_message_bytes"),
    "zero metadata": ({"limits": {"max_metadata_bytes": 0}}, "limits.max_metadata_bytes"),
    "no level": ({"telemetry": {"log_level": 9}}, "telemetry.log_level"),
    "relative URI": ({"identity": {"resolver_base_uri": "x/y"}}, "identity.resolver_base_uri"),
    "broken URI": ({"identity": {"resolver_base_uri": "http://[x"}}, "resolver_base_uri"),
    "tcp in plaintext": (
        {"services": {"identity": {"tcp": {"port": 1}}}},
        "tls: must be given, services.identity.tcp needs it",
    ),
    "no port": (
        {"services": {"identity": {"tcp": {}}}, "tls": TLS_FILES},
        "services.identity.tcp.port: must be 1 to 65535",
    ),
    "no certificate": (
        {"services": {"identity": {"tcp": {"port": 1}}}, "tls": TLS_FILES | {"cert_file": ""}},
        "tls.cert_file: must be given",
    ),
    "no key": (
        {"services": {"identity": {"tcp": {"port": 1}}}, "tls": TLS_FILES | {"key_file": ""}},
        "tls.key_file: must be given",
    ),
    "no authorities": (
        {"services": {"identity": {"tcp": {"port": 1}}}, "tls": TLS_FILES | {"ca_file": ""}},
        "tls.ca_file: must be given",
    ),
    "listens nowhere": (
        {"services": {"identity": {"disable_unix_socket": True}}},
        "services.identity.disable_unix_socket: needs services.identity.tcp",
    ),
    "metrics": (
        {"telemetry": {"metrics_addresses": {"identity": "127.0.0.1"}}},
        "telemetry.metrics_addresses.identity",
    ),
    "traces": ({"telemetry": {"otlp_endpoint": "localhost"}}, "telemetry.otlp_endpoint"),
    "more than all": ({"telemetry": {"sample_ratio": 1.5}}, "telemetry.sample_ratio"),
    "no ratio": ({"telemetry": {"sample_ratio": "NaN"}}, "telemetry.sample_ratio"),
    "no time": ({"telemetry": {"flush_timeout": "0s"}}, "telemetry.flush_timeout"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, case: str) -> None:
    content, named = BAD[case]
    file = tmp_path / "node.json"
    if isinstance(content, dict):
        content = json.dumps({"services": {"identity": {}}} | content)
    file.write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(ConfigError, match=named.replace(".", r"\.")):
        load(file, "identity")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "nowhere.json", "identity")


def test_settings_of_other_roles_are_accepted(tmp_path: Path) -> None:
    others = {
        "services": {"identity": {}, "storage": {"tcp": {"port": 1}}},
        "orchestrator": {"max_restarts": 1},
        "telemetry": {"metrics_addresses": {"storage": "127.0.0.1:1"}},
    }

    assert _load(tmp_path, others).name == "identity"
