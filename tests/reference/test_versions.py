"""Versions: which one serves whom, held against a definition that shares no code."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.mesh import versions
from reference.mesh.errors import InvalidArgumentError, Violation

IDENTIFIERS = st.sampled_from(["0", "2", "10", "alpha", "beta", "rc", "0a", "-"])


@st.composite
def version(draw: st.DrawFn) -> str:
    """Draw a version out of so few that they meet."""
    core = ".".join(str(draw(st.integers(0, 2))) for _ in range(3))
    pre = ".".join(draw(st.lists(IDENTIFIERS, max_size=2)))
    build = draw(st.sampled_from(["", "", "", "+1", "+b"]))
    return f"{core}{pre and '-'}{pre}{build}"


def _core(text: str) -> list[int]:
    return [int(each) for each in text.partition("+")[0].partition("-")[0].split(".")]


def _rank(text: str) -> Any:
    """Return the precedence by section 11 of semver.org, read anew."""
    pre = text.partition("+")[0].partition("-")[2]
    identifiers = [
        (0, int(each), "") if each.isdecimal() else (1, 0, each) for each in pre.split(".")
    ]
    return _core(text), not pre, identifiers if pre else []


def _fits(offered: str, wanted: str) -> bool:
    shared = 1 if _core(wanted)[0] else 2
    same = _core(offered)[:shared] == _core(wanted)[:shared]
    return same and not _rank(offered) < _rank(wanted)


@settings(deadline=None)  # both cores may be busy
@given(wanted=version(), there=st.lists(version(), max_size=6))
def test_the_choice_is_the_same_version_or_the_highest_that_fits(
    wanted: str, there: list[str]
) -> None:
    chosen = versions.choose(wanted, there)

    fitting = [each for each in there if _fits(each, wanted)]
    if wanted in there:
        assert chosen == wanted
    elif not fitting:
        assert chosen is None
    else:
        assert chosen in fitting
        assert not [each for each in fitting if _rank(each) > _rank(chosen)]
    assert versions.choose(wanted, there[::-1]) == chosen


@settings(deadline=None)
@given(there=st.lists(version() | st.just("")))
def test_the_order_is_unversioned_first_then_by_precedence(there: list[str]) -> None:
    backwards = there[::-1]
    ordered = sorted(there, key=versions.order)

    named = [each for each in ordered if each]
    assert ordered == [""] * there.count("") + named
    assert [_rank(each) for each in named] == sorted(_rank(each) for each in named)
    assert ordered == sorted(backwards, key=versions.order)


@pytest.mark.parametrize(
    ("wanted", "there", "chosen"),
    [
        ("1.0.0", ["1.0.0", "1.9.0"], "1.0.0"),
        ("1.0.0", ["1.9.0", "1.10.0", "2.0.0"], "1.10.0"),
        ("1.2.0", ["1.1.9", "2.0.0", "0.9.0"], None),
        ("1.2.0", ["1.2.0-rc.1"], None),
        ("1.2.0-rc.1", ["1.2.0-rc.2", "1.2.0-rc.10"], "1.2.0-rc.10"),
        ("1.2.0-rc.1", ["1.2.0-rc.2", "1.2.0"], "1.2.0"),
        ("1.0.0", ["1.1.0-rc.1"], "1.1.0-rc.1"),
        ("0.2.0", ["0.2.3", "0.3.0"], "0.2.3"),
        ("0.2.0", ["0.3.0", "1.2.0"], None),
        ("1.0.0", ["1.0.0+a", "1.0.0+b"], "1.0.0+b"),
        ("1.0.0", [], None),
    ],
)
def test_choices(wanted: str, there: list[str], chosen: str | None) -> None:
    assert versions.choose(wanted, there) == chosen


def test_the_highest() -> None:
    assert versions.highest(["1.9.0", "1.10.0", "1.10.0-rc.1"]) == "1.10.0"
    assert versions.highest([]) is None


@pytest.mark.parametrize(
    "text", ["1", "1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3\n", "1.٢.3", "latest"]
)
def test_what_is_malformed_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        versions.choose(text, [text])

    assert refused.value.violations == (Violation("version", f"{text!r} is no semantic version"),)


def test_a_refusal_is_short_however_long_the_word() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        versions.parse("9" * 100_000 + ".0.0")

    assert str(refused.value) == f"invalid request: version: '{'9' * 80}' is no semantic version"
