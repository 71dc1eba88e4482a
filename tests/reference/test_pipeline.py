"""The server pipeline: what becomes of an answer before it is sent."""

from typing import Any

import pytest

from reference.mesh.errors import ResourceExhaustedError
from reference.mesh.pipeline import Pipeline

PIPELINE = Pipeline([], max_message_bytes=100, min_compressed_bytes=10)


class Context:
    """What gRPC gives a handler."""

    def __init__(self) -> None:
        self.disabled = 0

    def disable_next_message_compression(self) -> None:
        self.disabled += 1


def _encoded(size: int) -> tuple[bytes, int]:
    """Encode an answer; return its bytes, and how often compression was disabled."""
    context: Any = Context()
    data = PIPELINE.encode("x" * size, str.encode, context)
    return data, context.disabled


@pytest.mark.parametrize(("size", "disabled"), [(0, 1), (9, 1), (10, 0), (100, 0)])
def test_small_answers_are_not_compressed(size: int, disabled: int) -> None:
    assert _encoded(size) == (b"x" * size, disabled)


def test_an_answer_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ResourceExhaustedError, match="101 bytes, the limit is 100"):
        _encoded(101)
