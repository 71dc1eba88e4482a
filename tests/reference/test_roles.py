"""Roles: a role is granted exactly what its patterns match."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.config.auth import PATTERN
from reference.mesh.security.roles import Roles

ROLES = Roles(
    {
        "all": ["*"],
        "service": ["/a.b.C/*"],
        "method": ["/a.b.C/D", "/x.Y/Z"],
        "nothing": [],
    }
)


@pytest.mark.parametrize(
    ("method", "allowed"),
    [
        ("/a.b.C/D", {"all", "service", "method"}),
        ("/a.b.C/E", {"all", "service"}),
        ("/x.Y/Z", {"all", "method"}),
        ("/x.Y/W", {"all"}),
        ("/a.b.C/d", {"all", "service"}),
        ("/a.b.CC/D", {"all"}),
        ("/a.b/D", {"all"}),
        ("/a.b.C", {"all"}),
        ("/a.b.C/D/E", {"all"}),
        ("//a.b.C/D", {"all"}),
        ("a.b.C/D", {"all"}),
        ("*", {"all"}),
        ("", {"all"}),
    ],
)
def test_who_may_call(method: str, allowed: set[str]) -> None:
    asked = [*ROLES._granted, "unknown", "", None]

    assert {role for role in asked if ROLES.permit(role, method)} == allowed


NAMES = st.from_regex(r"[a-c_][a-c0-9_]{0,2}", fullmatch=True)
SERVICES = st.builds(".".join, st.lists(NAMES, min_size=1, max_size=3))
METHODS = st.builds("/{}/{}".format, SERVICES, NAMES)
PATTERNS = st.one_of(METHODS, st.builds("/{}/*".format, SERVICES), st.just("*"))
ASKED = st.one_of(METHODS, st.text(alphabet="ab./*_", max_size=9))


def _matches(pattern: str, method: str) -> bool:
    """The rule as a regular expression, which is another way to say it."""
    if pattern == "*":
        return True
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*"), method) is not None


@given(st.dictionaries(NAMES, st.lists(PATTERNS, max_size=4), min_size=1), ASKED, st.data())
def test_a_grant_is_what_the_patterns_say(
    roles: dict[str, list[str]], method: str, data: st.DataObject
) -> None:
    role = data.draw(st.sampled_from(sorted(roles)))
    exact = data.draw(st.sampled_from([method, *roles[role]]))

    for asked in (method, exact):
        expected = any(_matches(pattern, asked) for pattern in roles[role])
        assert Roles(roles).permit(role, asked) == expected


@given(PATTERNS)
def test_every_pattern_has_one_of_three_forms(pattern: str) -> None:
    assert PATTERN.fullmatch(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "**", "/*", "/*/*", "*/a", "/a", "a.B/C", "/a.B/", "/a.B/C*", "/a.*/C", "/a.B/C/D"),
        *("/a..B/C", "/.a/C", "/1a/C", "/a.B/1", "/é/C", "/a.B/C\n", " /a.B/C", "//C", "/a-b/C"),
    ],
)
def test_no_pattern_has_another(pattern: str) -> None:
    assert not PATTERN.fullmatch(pattern)
