"""Which toxics there are, which attributes they have, and what these may be.

Pure: a body of JSON goes in, a `Settings` comes out, or a `Refusal` that names the value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .refusals import Refusal, bad

STREAMS = ("upstream", "downstream")
"""From the client to the server, and back."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One whole number of a toxic."""

    default: int = 0
    least: int = 0


TYPES: Mapping[str, Mapping[str, Attribute]] = {
    "noop": {},
    "latency": {"latency": Attribute(), "jitter": Attribute()},
    "bandwidth": {"rate": Attribute()},
    "slow_close": {"delay": Attribute()},
    "timeout": {"timeout": Attribute()},
    "reset_peer": {"timeout": Attribute()},
    # Toxiproxy's default of average_size is 0, at which it overflows its stack.
    "slicer": {"average_size": Attribute(least=1), "size_variation": Attribute(),
               "delay": Attribute()},
    "limit_data": {"bytes": Attribute()},
    # Ours: of each run of `every` bytes, but for the first `after`, one bit is flipped.
    "corrupt": {"every": Attribute(1024, 1), "after": Attribute()},
}  # fmt: skip
"""Every type of toxic, with its attributes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One toxic as it is configured."""

    name: str
    type: str
    stream: str
    toxicity: float
    """How likely it is that a connection has it."""
    attributes: Mapping[str, int] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """Return it as the API tells it."""
        return {
            "attributes": dict(self.attributes),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }


def created(body: Mapping[str, Any]) -> Settings:
    """Return the toxic that a body asks for.

    Raises:
        Refusal: there is none of that type or stream, or a value is impossible.
    """
    kind, stream = _text(body, "type", ""), _text(body, "stream", "downstream")
    if stream not in STREAMS:
        raise Refusal(400, "stream was invalid, can be either upstream or downstream")
    if kind not in TYPES:
        raise Refusal(400, "invalid toxic type")
    return Settings(
        name=_text(body, "name", "") or f"{kind}_{stream}",
        type=kind,
        stream=stream,
        toxicity=_toxicity(body.get("toxicity", 1)),
        attributes=_attributes(kind, {}, body.get("attributes", {})),
    )


def updated(settings: Settings, body: Mapping[str, Any]) -> Settings:
    """Return a toxic with other attributes or toxicity, which alone can be changed.

    Raises:
        Refusal: a value is impossible.
    """
    given = body.get("attributes", {})
    return Settings(
        name=settings.name,
        type=settings.type,
        stream=settings.stream,
        toxicity=_toxicity(body.get("toxicity", settings.toxicity)),
        attributes=_attributes(settings.type, settings.attributes, given),
    )


def _attributes(kind: str, before: Mapping[str, int], given: Any) -> dict[str, int]:
    if not isinstance(given, Mapping):
        raise bad(f"attributes: {given!r} is no object")
    for name in given:
        if name not in TYPES[kind]:
            raise bad(f"attributes: {kind} has no {name}")
    found = {}
    for name, attribute in TYPES[kind].items():
        value = given.get(name, before.get(name, attribute.default))
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad(f"{name}: {value!r} is no whole number")
        if value < attribute.least:
            raise bad(f"{name}: {value} is less than {attribute.least}")
        found[name] = value
    return found


def _toxicity(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise bad(f"toxicity: {value!r} is not between 0 and 1")
    return float(value)


def _text(body: Mapping[str, Any], name: str, default: str) -> str:
    value = body.get(name, default)
    if not isinstance(value, str):
        raise bad(f"{name}: {value!r} is no text")
    return value
