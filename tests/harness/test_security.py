"""What a node trusts, and who calls a service that asks for tokens."""

import json
from pathlib import Path
from typing import Any

import jwt
from google.protobuf import json_format

from blackhole.config.v1.config_pb2 import NodeConfig
from conformance.harness.security import (
    RELOAD,
    ROLES,
    Secured,
    Trust,
    request_id,
    shared_issuer,
    start_secured,
)
from conformance.harness.tokens import AUDIENCE, ISSUER, Key


class _Channel:
    def __init__(self, metadata: Any) -> None:
        self.metadata = list(metadata)
        self.closed = False


class _Service:
    """Remembers the metadata of the channels that are asked for."""

    def connect(self, *, metadata: Any) -> Any:
        return _Channel(metadata)

    def __repr__(self) -> str:
        return "S"


class _Node:
    """Remembers with which settings a service was started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.metadata: Any = ()
        self.settings: Any = None

    async def start(self, settings: Any) -> Any:
        self.settings = settings
        return _Service()


def _claims(channel: Any, trust: Trust) -> dict[str, Any]:
    ((name, value),) = channel.metadata
    token = value.removeprefix("Bearer ")
    kid = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWKSet.from_json(trust.file.read_text())[kid]
    assert name == "authorization"
    found: dict[str, Any] = jwt.decode(token, key, audience=AUDIENCE, issuer=ISSUER)
    return found


def test_every_request_has_an_id_of_its_own() -> None:
    assert request_id()[0] == "x-request-id"
    assert request_id() != request_id()


def test_what_is_trusted_stands_in_a_file(tmp_path: Path) -> None:
    trust = Trust(tmp_path, shared_issuer())
    before = trust.file.read_text()

    trust.issuer.keys = [Key(kid="new")]
    assert trust.file.read_text() == before
    trust.publish()

    assert [key["kid"] for key in json.loads(before)["keys"]] == ["suite-ed25519", "suite-p256"]
    assert [key["kid"] for key in json.loads(trust.file.read_text())["keys"]] == ["new"]
    assert [one.name for one in tmp_path.iterdir()] == ["jwks.json"]


def test_settings_obey_the_schema(tmp_path: Path) -> None:
    trust = Trust(tmp_path, shared_issuer())

    usual, other = trust.settings(), trust.settings({"a": ["*"]}, leeway="1s")

    for settings in (usual, other):
        json_format.ParseDict(settings, NodeConfig())
    assert set(usual["auth"]["roles"]) == set(ROLES)
    assert usual["auth"]["reload_interval"] == f"{RELOAD}s"
    assert (other["auth"]["roles"], other["auth"]["leeway"]) == ({"a": {"methods": ["*"]}}, "1s")


def test_callers_bear_what_they_are_given(tmp_path: Path) -> None:
    service: Any = _Service()
    secured = Secured(service, Trust(tmp_path, shared_issuer()))

    caller = _claims(secured.caller("bob", "reader", exp=2_000_000_000), secured.trust)
    forger: Any = secured.bearing("a", "b")

    assert (caller["sub"], caller["role"], caller["exp"]) == ("bob", "reader", 2_000_000_000)
    assert "role" not in _claims(secured.caller(role=None), secured.trust)
    assert forger.metadata == [("authorization", "Bearer a"), ("authorization", "Bearer b")]
    assert repr(secured) == "Secured(S, Issuer(['suite-ed25519', 'suite-p256']))"


def test_a_stranger_bears_nothing_and_is_used_again(tmp_path: Path) -> None:
    service: Any = _Service()
    secured = Secured(service, Trust(tmp_path, shared_issuer()))

    first: Any = secured.stranger
    assert first.metadata == []
    assert secured.stranger is first
    first.closed = True

    assert secured.stranger is not first


async def test_a_node_calls_what_it_starts_as_an_admin(tmp_path: Path) -> None:
    node: Any = _Node(tmp_path)

    secured = await start_secured(node, {"grace_period": "1s"}, roles={"admin": ["*"]})

    assert node.settings["grace_period"] == "1s"
    assert node.settings["auth"]["roles"] == {"admin": {"methods": ["*"]}}
    assert _claims(_Channel(node.metadata), secured.trust)["role"] == "admin"
