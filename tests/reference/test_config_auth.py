"""Settings of tokens, roles and limits: defaults, and every way in which they are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from reference.config import client, service
from reference.config.auth import Auth, Rate, RateLimit, TokenFile
from reference.config.reading import ConfigError

AUTH = {
    "issuer": "https://issuer.test",
    "audience": "blackhole",
    "jwks_file": "/keys.json",
    "roles": {"reader": {"methods": ["/a.B/C", "/a.B/*"]}, "admin": {"methods": ["*"]}, "none": {}},
}
LIMIT = {"rate": 2.5, "burst": 3}


def _written(tmp_path: Path, content: Any) -> Path:
    file = tmp_path / "node.json"
    file.write_text(json.dumps(content))
    return file


def _service(tmp_path: Path, auth: Any = None, limit: Any = None) -> service.Settings:
    content: dict[str, Any] = {"services": {"identity": {}}}
    if auth is not None:
        content["auth"] = auth
    if limit is not None:
        content["services"]["identity"]["rate_limit"] = limit
    return service.load(_written(tmp_path, content), "identity")


def test_nothing_asks_for_nothing(tmp_path: Path) -> None:
    settings = _service(tmp_path)

    assert (settings.auth, settings.rate_limit) == (None, None)
    driver = client.load(_written(tmp_path, {}))
    assert (driver.auth, driver.rate_limit, driver.client.token_file) == (None, None, None)


def test_what_a_service_asks_for(tmp_path: Path) -> None:
    assert _service(tmp_path, AUTH).auth == Auth(
        issuer="https://issuer.test",
        audience="blackhole",
        jwks_file=Path("/keys.json"),
        roles={"reader": ("/a.B/C", "/a.B/*"), "admin": ("*",), "none": ()},
        leeway=0.0,
        reload_interval=60.0,
    )
    changed = _service(tmp_path, AUTH | {"leeway": "2s", "reload_interval": "0.5s"}).auth
    assert changed is not None
    assert (changed.leeway, changed.reload_interval) == (2.0, 0.5)


def test_what_limits_are_asked_for(tmp_path: Path) -> None:
    callers = {"caller_rate": 1, "caller_burst": 2}

    assert _service(tmp_path, limit=LIMIT).rate_limit == RateLimit(Rate(2.5, 3), None)
    assert _service(tmp_path, limit=LIMIT | callers).rate_limit == RateLimit(
        Rate(2.5, 3), Rate(1.0, 2)
    )


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        ({}, "auth.issuer: must be given"),
        ({"token_file": "/t"}, "auth.issuer: must be given"),
        (AUTH | {"issuer": ""}, "auth.issuer: must be given"),
        (AUTH | {"audience": ""}, "auth.audience: must be given"),
        (AUTH | {"jwks_file": ""}, "auth.jwks_file: must be given"),
        (AUTH | {"roles": {}}, "auth.roles: must have one role at least"),
        (AUTH | {"roles": {"x": {"methods": ["*", "/a"]}}}, "auth.roles.x: '/a' is no pattern"),
        (AUTH | {"reload_interval": "0s"}, "auth.reload_interval: must be above zero"),
        (AUTH | {"leeway": "-1s"}, "auth.leeway: -1s is below zero"),
    ],
)
def test_auth_is_refused_by_name(tmp_path: Path, auth: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _service(tmp_path, auth)

    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("limit", "field"),
    [
        ({}, "rate"),
        ({"burst": 1}, "rate"),
        (LIMIT | {"rate": 0}, "rate"),
        (LIMIT | {"rate": -1}, "rate"),
        (LIMIT | {"rate": "NaN"}, "rate"),
        (LIMIT | {"rate": "Infinity"}, "rate"),
        ({"rate": 1}, "burst"),
        (LIMIT | {"burst": 0}, "burst"),
        (LIMIT | {"caller_rate": 1}, "caller_burst"),
        (LIMIT | {"caller_burst": 1}, "caller_rate"),
        (LIMIT | {"caller_rate": 0, "caller_burst": 1}, "caller_rate"),
        (LIMIT | {"caller_rate": 1, "caller_burst": 0}, "caller_burst"),
    ],
)
def test_limits_are_refused_by_name(tmp_path: Path, limit: Any, field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^services\.identity\.rate_limit\.{field}: must be "):
        _service(tmp_path, limit=limit)


def _driver(tmp_path: Path, content: Any) -> TokenFile | None:
    return client.load(_written(tmp_path, content)).client.token_file


def test_who_only_calls_needs_only_a_token(tmp_path: Path) -> None:
    auth = {"token_file": "/t", "reload_interval": "1s"}
    services = {"a": {"unix_socket": "/s"}}

    assert _driver(tmp_path, {"auth": auth, "services": services}) == TokenFile(Path("/t"), 1.0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"auth": AUTH}, "auth.token_file: must be given"),
        (
            {"auth": {"token_file": "/t"}, "services": {"b": {"tcp": {"port": 1}}}},
            "tls: must be given, else services.b.tcp is called with the token of auth.token_file",
        ),
        (
            {"auth": {"token_file": "/t", "reload_interval": "0s"}},
            "auth.reload_interval: must be above zero",
        ),
    ],
)
def test_a_callers_auth_is_refused_by_name(tmp_path: Path, content: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _driver(tmp_path, content)

    assert str(caught.value).removesuffix(" in plaintext") == told
