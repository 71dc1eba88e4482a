"""The words of a test: what they compare, and how a difference is told."""

from typing import Any

import pytest

from conformance.harness import judging
from conformance.harness.judging import NonConformance, expect

RIGHT: list[tuple[Any, dict[str, Any]]] = [
    (1, {"equals": 1}),
    (None, {"equals": None}),
    (0, {"equals": 0}),
    ("b", {"one_of": ["a", "b"]}),
    ("abc", {"matches": "ab"}),
    (5, {"at_most": 5, "at_least": 5}),
]
WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (1, {"equals": 2}, "w: expected 2, observed 1"),
    ([], {"equals": None}, "w: expected None, observed []"),
    ("c", {"one_of": ["a", "b"]}, "w: expected one of 'a', 'b', observed 'c'"),
    ("xab", {"matches": "ab"}, "w: expected text that matches ab, observed 'xab'"),
    (None, {"matches": "ab"}, "w: expected text that matches ab, observed None"),
    (6, {"at_most": 5}, "w: expected at most 5, observed 6"),
    (4, {"at_most": 9, "at_least": 5}, "w: expected at most 9 and at least 5, observed 4"),
    (0o755, {"equals": 0o600, "show": oct}, "w: expected 0o600, observed 0o755"),
]


@pytest.mark.parametrize(("observed", "wanted"), RIGHT)
def test_what_is_right_comes_back(observed: Any, wanted: dict[str, Any]) -> None:
    assert expect(observed, what="w", **wanted) is observed


@pytest.mark.parametrize(("observed", "wanted", "told"), WRONG)
def test_what_is_wrong_is_told(observed: Any, wanted: dict[str, Any], told: str) -> None:
    with pytest.raises(NonConformance) as error:
        expect(observed, what="w", **wanted)
    assert str(error.value) == told


def test_to_expect_nothing_is_an_error_of_the_suite() -> None:
    with pytest.raises(TypeError, match="nothing is expected of w"):
        expect(1, what="w")


def test_a_long_table_shows_only_where_it_differs() -> None:
    table = dict.fromkeys(range(1000), "x" * 10)

    with pytest.raises(NonConformance) as error:
        expect(table | {7: "y"}, equals=table, what="w")

    assert error.value.observed == "differs at {7: 'y'}"
    assert len(error.value.expected) < 2100


@pytest.mark.parametrize(
    ("say", "kind"),
    [
        (judging.untestable, judging.Untestable),
        (judging.not_run, judging.NotRun),
        (judging.inconclusive, judging.Inconclusive),
    ],
)
def test_each_way_not_to_tell_is_a_type_of_its_own(say: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="because") as error:
        say("because")
    assert not isinstance(error.value, AssertionError)


def test_a_story_begins_empty_and_keeps_its_order() -> None:
    story = judging.begin()
    judging.did("one")
    judging.did("two")
    judging.attach("log", "text")

    assert [step for _, step in story.steps] == ["one", "two"]
    assert story.attachments == {"log": "text"}
    assert judging.begin().steps == []


def test_input_that_is_about_its_length_is_told_by_it() -> None:
    with pytest.raises(NonConformance, match=r"observed \{'x… \(1000 times\)': 1\}"):
        expect({"x" * 1000: 1}, equals={}, what="names")
