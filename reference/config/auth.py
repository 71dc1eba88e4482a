"""Settings of tokens, roles and rate limits: AuthConfig and RateLimit."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blackhole.config.v1.config_pb2 import AuthConfig, NodeConfig
from blackhole.config.v1.config_pb2 import RateLimit as RateLimitConfig

from .reading import ConfigError, positive_seconds, seconds

PATTERN = re.compile(r"\*|/(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*/(?:\*|[A-Za-z_]\w*)", re.ASCII)
"""What a role may be granted: `*`, `/package.Service/*` or `/package.Service/Method`."""


@dataclass(frozen=True, slots=True)
class Auth:
    """Who may call a service; durations in seconds."""

    issuer: str
    audience: str
    jwks_file: Path
    roles: Mapping[str, tuple[str, ...]]
    """Method patterns by role."""
    leeway: float
    reload_interval: float


@dataclass(frozen=True, slots=True)
class TokenFile:
    """Where the token of the process's own calls is; the interval in seconds."""

    path: Path
    reload_interval: float


@dataclass(frozen=True, slots=True)
class Rate:
    """What a token bucket lets through."""

    a_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Buckets of a service."""

    service: Rate
    caller: Rate | None
    """Of each token subject."""


def auth(config: NodeConfig) -> Auth | None:
    """Return who may call the services of a node; None: everybody.

    Raises:
        ConfigError: names the field that is missing or cannot be used.
    """
    if not config.HasField("auth"):
        return None
    for field in ("issuer", "audience", "jwks_file"):
        if not getattr(config.auth, field):
            raise ConfigError(f"auth.{field}: must be given")
    return Auth(
        issuer=config.auth.issuer,
        audience=config.auth.audience,
        jwks_file=Path(config.auth.jwks_file),
        roles=_roles(config.auth),
        leeway=seconds(config.auth, "leeway", 0.0),
        reload_interval=_reload_interval(config.auth),
    )


def token_file(config: NodeConfig) -> TokenFile | None:
    """Return where the token of the process's own calls is; None: they bear none.

    Raises:
        ConfigError: names the field; without `tls`, ports would be called with the token in
            plaintext.
    """
    if not config.HasField("auth"):
        return None
    if not config.auth.token_file:
        raise ConfigError("auth.token_file: must be given")
    exposed = [name for name, entry in config.services.items() if entry.HasField("tcp")]
    if exposed and not config.HasField("tls"):
        raise ConfigError(
            f"tls: must be given, else services.{min(exposed)}.tcp is called with the token of"
            " auth.token_file in plaintext"
        )
    return TokenFile(Path(config.auth.token_file), _reload_interval(config.auth))


def rate_limit(config: NodeConfig, name: str) -> RateLimit | None:
    """Return the limits of a service; None: it has none.

    Raises:
        ConfigError: names the field that is missing or cannot be used.
    """
    service = config.services[name]
    if not service.HasField("rate_limit"):
        return None
    given, path = service.rate_limit, f"services.{name}.rate_limit"
    caller = None
    if given.HasField("caller_rate") or given.HasField("caller_burst"):
        caller = _rate(given, path, "caller_")
    return RateLimit(_rate(given, path, ""), caller)


def _roles(config: AuthConfig) -> Mapping[str, tuple[str, ...]]:
    if not config.roles:
        raise ConfigError("auth.roles: must have one role at least")
    for name, patterns in sorted(config.roles.items()):
        for pattern in patterns.methods:
            if not PATTERN.fullmatch(pattern):
                raise ConfigError(f"auth.roles.{name}: {pattern!r} is no pattern of methods")
    return {name: tuple(patterns.methods) for name, patterns in config.roles.items()}


def _reload_interval(config: AuthConfig) -> float:
    return positive_seconds(config, "auth", "reload_interval", 60.0)


def _rate(config: RateLimitConfig, path: str, prefix: str) -> Rate:
    rate: float = getattr(config, f"{prefix}rate")
    burst: int = getattr(config, f"{prefix}burst")
    if not (rate > 0 and math.isfinite(rate)):
        raise ConfigError(f"{path}.{prefix}rate: must be above zero, and finite")
    if burst == 0:
        raise ConfigError(f"{path}.{prefix}burst: must be at least 1")
    return Rate(rate, burst)
