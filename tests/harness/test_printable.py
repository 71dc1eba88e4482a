"""What is shown does nothing to the one who reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness.printable import everywhere, printable, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode, 漢字, 🙂\tand\nlines", "plain, ünïcode, 漢字, 🙂\tand\nlines"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\r\nb\rc", "a\nb\\rc".replace("\\r", r"\x0d")),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("a\u2028b\u200bc\ufeff", r"a\u2028b\u200bc\ufeff"),
        ("\ud800 half", r"\ud800 half"),
        ("\U000e0041", r"\U000e0041"),
        ("\x85\x9b", r"\x85\x9b"),
    ],
)
def test_characters_that_act_are_shown_by_number(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_whatever_is_shown_can_be_encoded_and_stays(text: str) -> None:
    shown = printable(text)

    shown.encode()
    assert printable(shown) == shown


def test_data_are_made_printable_to_the_last_text() -> None:
    assert everywhere({"\x00": ["\x00", ("\x00", 1, None, True)]}) == {
        "\\x00": ["\\x00", ["\\x00", 1, None, True]]
    }
