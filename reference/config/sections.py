"""Sections of NodeConfig that single services read; durations in seconds."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from blackhole.config.v1.config_pb2 import NodeConfig

from .reading import ConfigError, positive, seconds


@dataclass(frozen=True, slots=True)
class Store:
    """StoreConfig."""

    max_batch_size: int
    max_batch_wait: float

    @classmethod
    def of(cls, config: NodeConfig) -> "Store":
        """Read the section."""
        return cls(
            max_batch_size=positive(config.store, "store", "max_batch_size", 256),
            max_batch_wait=seconds(config.store, "max_batch_wait", 0.0),
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """IdentityConfig."""

    max_batch_items: int
    event_buffer: int
    max_subscribers: int
    resolver_base_uri: str

    @classmethod
    def of(cls, config: NodeConfig) -> "Identity":
        """Read the section."""
        section = config.identity
        return cls(
            max_batch_items=positive(section, "identity", "max_batch_items", 1000),
            event_buffer=positive(section, "identity", "event_buffer", 1000),
            max_subscribers=positive(section, "identity", "max_subscribers", 10000),
            resolver_base_uri=_resolver(section.resolver_base_uri),
        )


@dataclass(frozen=True, slots=True)
class Events:
    """EventsConfig."""

    subscriber_buffer: int
    max_subscribers: int

    @classmethod
    def of(cls, config: NodeConfig) -> "Events":
        """Read the section."""
        return cls(
            subscriber_buffer=positive(config.events, "events", "subscriber_buffer", 100),
            max_subscribers=positive(config.events, "events", "max_subscribers", 10000),
        )


@dataclass(frozen=True, slots=True)
class Storage:
    """StorageConfig."""

    flush_chunks: int
    max_chunk_bytes: int

    @classmethod
    def of(cls, config: NodeConfig) -> "Storage":
        """Read the section."""
        return cls(
            flush_chunks=positive(config.storage, "storage", "flush_chunks", 100),
            max_chunk_bytes=positive(config.storage, "storage", "max_chunk_bytes", 4 << 20),
        )


def _resolver(given: str) -> str:
    uri = given or "blackhole://identity/v1/identity/dids"
    try:
        absolute = urlsplit(uri).scheme != ""
    except ValueError:
        absolute = False
    if not absolute:
        raise ConfigError(f"identity.resolver_base_uri: {uri!r} is not an absolute URI")
    return uri.rstrip("/")
