"""Known failures: what an entry makes of what the tests of its requirement saw."""

import datetime as dt
import itertools
from typing import Any

import pytest

from conformance.harness.known_failures import (
    KnownFailure,
    Seen,
    check_distinct,
    excuse,
    parse,
    weigh,
)
from conformance.harness.verdicts import Verdict, worst

V = Verdict
DAY = dt.date(2026, 11, 26)
ENTRY: dict[str, Any] = {
    "id": "A-1",
    "reason": "later",
    "link": "https://example.test/1",
    "expires": DAY,
    "kind": "bug",
}
UNEXCUSED = (V.NOT_RUN, V.INCONCLUSIVE, V.UNTESTABLE, V.HARNESS_ERROR)
THIS, OTHER = "0123456789ab", "ba9876543210"


def known(name: str = "A-1", **fields: Any) -> KnownFailure:
    return KnownFailure(**{**ENTRY, "id": name, **fields})


def seen(verdict: Verdict, fingerprint: str = "") -> Seen:
    failed = verdict in (V.FAIL, V.WARN)
    return Seen(verdict, "seen", fingerprint or (THIS if failed else ""))


@pytest.mark.parametrize("verdict", Verdict)
def test_an_entry_excuses_a_failure_and_nothing_else(verdict: Verdict) -> None:
    excused = {V.FAIL: V.KNOWN_FAILURE, V.WARN: V.KNOWN_FAILURE, V.PASS: V.STALE_KNOWN_FAILURE}

    assert weigh([seen(verdict)], [known()], "A-1").verdict is excused.get(verdict, verdict)
    assert weigh([seen(verdict)], [known("A-2")], "A-1") == seen(verdict)


@pytest.mark.parametrize("verdict", Verdict)
def test_an_entry_that_expired_excuses_nothing(verdict: Verdict) -> None:
    red = {V.FAIL: V.FAIL, V.WARN: V.FAIL, V.PASS: V.STALE_KNOWN_FAILURE}

    told = weigh([seen(verdict)], [known(expired=True)], "A-1")

    assert told.verdict is red.get(verdict, verdict)
    assert ("expired on 2026-11-26" in told.reason) == (verdict in red)


@pytest.mark.parametrize(
    ("one", "other"),
    list(itertools.product((V.PASS, V.FAIL), UNEXCUSED)),
)
def test_an_entry_hides_nothing_that_stands_beside_a_failure(one: Verdict, other: Verdict) -> None:
    told = weigh([seen(one), seen(other)], [known()], "A-1")

    expected = V.KNOWN_FAILURE if one is V.FAIL else other
    assert told.verdict is worst([expected, other])


def test_a_test_that_passes_beside_one_that_fails_makes_no_entry_stale() -> None:
    told = weigh([seen(V.PASS), seen(V.FAIL)], [known()], "A-1")

    assert told == Seen(V.KNOWN_FAILURE, "seen", THIS)


def test_a_fingerprint_excuses_its_own_failure_alone() -> None:
    entries = [known(fingerprint=THIS)]

    assert weigh([seen(V.FAIL)], entries, "A-1").verdict is V.KNOWN_FAILURE
    told = weigh([seen(V.FAIL), seen(V.FAIL, OTHER)], entries, "A-1")
    assert told.verdict is V.FAIL
    assert told.reason == f"not the known failure {THIS}, but {OTHER}: seen"
    assert excuse(entries, "A-1", OTHER) is None


def test_each_of_several_entries_must_be_seen() -> None:
    entries = [known(fingerprint=THIS), known(fingerprint=OTHER)]

    both = weigh([seen(V.FAIL), seen(V.FAIL, OTHER)], entries, "A-1")
    one = weigh([seen(V.FAIL), seen(V.PASS)], entries, "A-1")
    unsure = weigh([seen(V.FAIL), seen(V.NOT_RUN)], entries, "A-1")

    assert both.verdict is V.KNOWN_FAILURE
    assert one.verdict is V.STALE_KNOWN_FAILURE
    assert one.reason == f"listed as a known failure {OTHER} (later), and was not seen any more"
    assert unsure.verdict is V.KNOWN_FAILURE


def test_an_entry_is_good_to_the_end_of_its_day() -> None:
    requirements: Any = {"A-1": None}

    assert not parse(ENTRY, requirements, DAY).expired
    assert parse(ENTRY, requirements, DAY + dt.timedelta(days=1)).expired


@pytest.mark.parametrize(
    "change",
    [
        {"reason": ""},
        {"reason": " \n"},
        {"expires": ""},
        {"expires": dt.datetime(2026, 11, 26, tzinfo=dt.UTC)},
        {"kind": "whim"},
        {"fingerprint": ""},
        {"owner": "ada"},
        {"id": "A-2"},
    ],
)
def test_an_entry_that_a_person_must_still_fill_in_is_refused(change: dict[str, Any]) -> None:
    requirements: Any = {"A-1": None}

    with pytest.raises(ValueError, match=r"empty or of|kind is one|exactly|no requirement"):
        parse({**ENTRY, **change}, requirements, DAY)


@pytest.mark.parametrize("prints", [("", ""), ("", THIS), (THIS, ""), (THIS, THIS)])
def test_no_failure_has_two_entries(prints: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="A-1 stands twice"):
        check_distinct([known(fingerprint=one) for one in prints])
    check_distinct([known(fingerprint=THIS), known(fingerprint=OTHER), known("A-2")])
