"""Manifests: what they may say, and one clear error for what they may not."""

import datetime as dt
from pathlib import Path

import pytest

from conformance.harness import requirements
from conformance.harness.implementation import Implementation, ManifestError, find, load

GOOD = """
name = "mine"
language = "Go"
command = ["{python}", "-c", "pass"]
claims = ["service"]
"""
TOMORROW = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
KNOWN = f"""
[[known_failures]]
id = "SOCK-2"
reason = "later"
link = "https://example.test/1"
expires = {TOMORROW}
kind = "bug"
"""


def _load(tmp_path: Path, text: str) -> Implementation:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return load(file, requirements.load())


def test_a_manifest_is_read(tmp_path: Path) -> None:
    implementation = _load(tmp_path, GOOD + KNOWN)

    assert (implementation.name, implementation.language) == ("mine", "Go")
    assert implementation.cwd == tmp_path
    assert implementation.version() == "unknown"
    assert [failure.id for failure in implementation.known_failures] == ["SOCK-2"]
    assert implementation.claimed(requirements.load()["SOCK-2"])


@pytest.mark.parametrize(
    ("claims", "claimed"),
    [
        (["remote"], ["TLS-1"]),
        (["client", "security"], ["AUTH-1", "AUTH-7"]),
        (["core", "remote"], ["SOCK-1", "TLS-1", "TLS-6"]),
        (["core"], ["SOCK-1"]),
    ],
)
def test_a_requirement_of_two_profiles_is_claimed_with_both(
    tmp_path: Path, claims: list[str], claimed: list[str]
) -> None:
    records = requirements.load()
    implementation = _load(tmp_path, GOOD.replace('["service"]', str(claims)))

    names = ("SOCK-1", "TLS-1", "TLS-6", "AUTH-1", "AUTH-7")
    assert [name for name in names if implementation.claimed(records[name])] == claimed


@pytest.mark.parametrize(("given", "seconds"), [("", 0.0), ("least_keep_alive = 10", 10.0)])
def test_the_shortest_time_between_pings_is_optional(
    tmp_path: Path, given: str, seconds: float
) -> None:
    assert _load(tmp_path, GOOD + given).least_keep_alive == seconds


def test_the_reference_has_one() -> None:
    assert load(find("reference"), requirements.load()).name == "reference"


BROKEN = {
    "not TOML": ("name = ", "Invalid value"),
    "unknown field": ("nmae = 'x'" + GOOD, "unknown field 'nmae'"),
    "missing field": (GOOD.replace('name = "mine"', ""), "name is missing or empty"),
    "wrong type": (GOOD.replace('"Go"', "1"), "language: wrong type int"),
    "wrong word": (GOOD.replace('"pass"', "1"), "command: every word must be a string"),
    "no number": (GOOD + 'least_keep_alive = "1s"', "least_keep_alive: wrong type str"),
    "a truth": (GOOD + "least_keep_alive = true", "least_keep_alive: wrong type bool"),
    "negative": (GOOD + "least_keep_alive = -1", "least_keep_alive is a number of seconds, not n"),
    "not a number": (GOOD + "least_keep_alive = nan", "least_keep_alive is a number of seconds"),
    "no such program": (GOOD.replace("{python}", "no-such-prog"), "no program 'no-such-prog'"),
    "no such file": (GOOD.replace("{python}", "./nowhere"), "there is no file"),
    "not executable": (GOOD.replace("{python}", "./mine.toml"), "is not executable"),
    "no such cwd": (GOOD + 'cwd = "nowhere"', "cwd: there is no directory"),
    "unknown claim": (
        GOOD.replace('"service"]', '"servce"]'),
        "no profile or requirement 'servce'",
    ),
    "claims a MUST": (GOOD.replace('"service"]', '"SOCK-2"]'), "SOCK-2 is a MUST"),
    "unknown ID": (GOOD + KNOWN.replace("SOCK-2", "SOCK-99"), "no requirement 'SOCK-99'"),
    "no reason": (GOOD + KNOWN.replace('"later"', '""'), "reason is empty"),
    "no link": (GOOD + KNOWN.replace("link", "lnk"), "has exactly the fields"),
    "listed twice": (GOOD + KNOWN * 2, "SOCK-2 stands twice"),
    "not claimed": (GOOD + KNOWN.replace("SOCK-2", "TLS-1"), "TLS-1 is not claimed"),
    "unknown release": (GOOD + 'release = "9.9"', "release: there is no release '9.9'; .*0.1.0"),
    "unknown kind": (GOOD + KNOWN.replace('"bug"', '"whim"'), "kind is one of"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_told_with_the_file(tmp_path: Path, case: str) -> None:
    text, told = BROKEN[case]

    with pytest.raises(ManifestError, match=f"mine.toml.*{told}"):
        _load(tmp_path, text)


def test_an_entry_that_expired_is_read_all_the_same(tmp_path: Path) -> None:
    text = GOOD + KNOWN.replace(str(TOMORROW), "2020-01-01")

    assert [entry.expired for entry in _load(tmp_path, text).known_failures] == [True]


def test_what_came_after_its_release_is_known(tmp_path: Path) -> None:
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    (frozen / "1.0.0.txt").write_text("SOCK-1\nSOCK-2\n")
    (tmp_path / "mine.toml").write_text(GOOD + 'release = "1.0.0"')
    records = {name: requirements.load()[name] for name in ("SOCK-1", "SOCK-2", "SOCK-3")}

    implementation = load(tmp_path / "mine.toml", records, frozen=frozen)

    assert implementation.later == {"SOCK-3"}
    assert _load(tmp_path, GOOD).later == frozenset()


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(
        ManifestError, match=r"unknown implementation 'refrence'; known: .*reference"
    ):
        find("refrence")
    with pytest.raises(ManifestError, match=r"there is no file ./refrence\.toml"):
        find("./refrence.toml")


@pytest.mark.parametrize(
    ("script", "told"),
    [("raise SystemExit('broken')", "exit status 1\nbroken"), ("pass", "printed nothing")],
)
def test_a_version_command_must_work(tmp_path: Path, script: str, told: str) -> None:
    text = GOOD + f'version_command = ["{{python}}", "-c", "{script}"]'

    with pytest.raises(ManifestError, match=told):
        _load(tmp_path, text).version()


def test_a_build_that_fails_shows_its_end(tmp_path: Path) -> None:
    text = GOOD + 'build = ["{python}", "-c", "raise SystemExit(\'no compiler\')"]'

    with pytest.raises(ManifestError, match="build: exit status 1\nno compiler"):
        _load(tmp_path, text).run_build()


def test_a_command_that_is_built_may_be_missing_until_then(tmp_path: Path) -> None:
    text = GOOD.replace("{python}", "./made") + 'build = ["{python}", "-c", "pass"]'

    assert _load(tmp_path, text).command[0] == str(tmp_path / "made")
