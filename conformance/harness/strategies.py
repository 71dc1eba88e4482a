"""Hypothesis strategies made from message descriptors, and bodies that are nearly messages."""

import random
from functools import lru_cache
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

_DEPTH = 3
"""Messages within messages at most: deeper ones find nothing that these do not."""

_MOST = 4
"""Entries of a repeated field at most."""

EXAMPLES = 1000
"""Request bodies a method that ERR-3 asks for."""

BODIES_A_ROUND = 50
"""Request bodies that one hypothesis example of ERR-3 sends, all at once."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=64)
"""All of Unicode but surrogates, which UTF-8 cannot carry."""

_KINDS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=64),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_ENUM: st.integers(-(2**31), 2**31 - 1) | st.integers(0, 4),
    FieldDescriptor.TYPE_FIXED32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_STRING: TEXT | st.sampled_from(["key", "identity", "did:key:0"]),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
}


@lru_cache
def messages(descriptor: Descriptor, depth: int = _DEPTH) -> st.SearchStrategy[Message]:
    """Return a strategy for valid messages of a type, any field set or unset."""
    make = message_factory.GetMessageClass(descriptor)
    fields = {
        field.name: _field(field, depth)
        for field in descriptor.fields
        if depth > 0 or field.type != FieldDescriptor.TYPE_MESSAGE
    }
    return st.fixed_dictionaries({}, optional=fields).map(
        lambda values: make(**_one_of(values, descriptor))
    )


def bodies(descriptor: Descriptor, count: int) -> st.SearchStrategy[list[bytes]]:
    """Return a strategy for so many request bodies.

    A quarter are messages as generated, the others are damaged copies of them and plain bytes,
    made from one drawn seed: to draw each of them by itself would cost more than to send it.
    """
    whole = messages(descriptor).map(lambda message: message.SerializeToString())
    some = count // 4 + 1
    return st.builds(
        lambda drawn, seed: _with_damaged(drawn, count, random.Random(seed)),  # noqa: S311
        st.lists(whole, min_size=some, max_size=some),
        st.integers(0, 2**64 - 1),
    )


def _with_damaged(whole: list[bytes], count: int, chance: random.Random) -> list[bytes]:
    damages = (_cut, _splice, _flip, _noise)
    damaged = [
        chance.choice(damages)(chance.choice(whole), chance) for _ in range(count - len(whole))
    ]
    return whole + damaged


def _field(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        key, value = (entry.fields_by_name[name] for name in ("key", "value"))
        return st.dictionaries(_single(key, depth), _single(value, depth), max_size=_MOST)
    if field.is_repeated:
        return st.lists(_single(field, depth), max_size=_MOST)
    return _single(field, depth)


def _single(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.type in (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_GROUP):
        return messages(field.message_type, depth - 1)
    return _KINDS[field.type]


def _one_of(values: dict[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    """Keep one field of each oneof, the first."""
    kept = dict(values)
    for oneof in descriptor.oneofs:
        for extra in [field.name for field in oneof.fields if field.name in kept][1:]:
            del kept[extra]
    return kept


def _cut(body: bytes, chance: random.Random) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _splice(body: bytes, chance: random.Random) -> bytes:
    position = chance.randrange(len(body) + 1)
    return body[:position] + chance.randbytes(chance.randint(1, 16)) + body[position:]


def _flip(body: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(body)
    for _ in range(chance.randint(1, 4) if damaged else 0):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def _noise(_: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(128))
