"""Merging, on shards that nobody ran: cut anywhere, they come to what the whole comes to."""

import copy
import datetime as dt
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.commands.__main__ import main
from conformance.harness.implementation import Implementation
from conformance.harness.known_failures import KnownFailure
from conformance.harness.reports import merging, report_json, shard
from conformance.harness.reports.reading import Report, ReportError
from conformance.harness.reports.result import Result
from conformance.harness.reports.shard import Said, Shard
from conformance.harness.requirements import Requirement, load
from conformance.harness.verdicts import Verdict

from .conftest import RECORD

LEVELS = {"ONE-1": "MUST", "TWO-1": "MUST", "THREE-1": "SHOULD", "FOUR-1": "MAY", "FIVE-1": "MUST"}

KNOWN = KnownFailure(
    id="TWO-1", reason="we know", link="https://example.org/1", expires=dt.date.max, kind="bug"
)

TEXT = "digest"

SEEN = [verdict for verdict in Verdict if "KNOWN" not in verdict]
"""What one test can say."""


@pytest.fixture(scope="module")
def requirements(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Requirement]:
    file = tmp_path_factory.mktemp("text") / "SPEC.md"
    records = (RECORD.format(id=name, level=LEVELS[name], profile="service") for name in LEVELS)
    file.write_text("".join(records))
    return load(file)


def said(requirement: str, verdict: Verdict = Verdict.PASS, **more: Any) -> Said:
    """Return what a test said."""
    reason = "" if verdict is Verdict.PASS else f"{verdict} was seen"
    return {
        "requirement": requirement,
        "verdict": str(verdict),
        "reason": reason,
        "seconds": 0.5,
    } | more


def judged(requirements: dict[str, Requirement], **how: Any) -> Result:
    """Return a result in which nothing was said yet."""
    values: dict[str, Any] = {
        "implementation": Implementation(
            name="mine",
            language="None",
            command=("/secret",),
            cwd=Path("/secret"),
            claims=("service",),
            known_failures=(KNOWN,),
            env={"TOKEN": "secret"},
        ),
        "version": "1",
        "seed": 1,
        "requirements": requirements,
        "narrowed": [],
        "environment": {"system": "Linux"},
    }
    return Result(**values | how)


def shards(
    requirements: dict[str, Requirement], parts: Sequence[dict[str, Said]], **how: Any
) -> list[Report]:
    """Return the report of each shard, as it is when it is read again."""
    all_of_them = {name: one["requirement"] for part in parts for name, one in part.items()}
    reports = []
    for number, part in enumerate(parts, start=1):
        own = Shard(number, len(parts), TEXT, shard.whole(all_of_them))
        result = judged(requirements, shard=own, narrowed=[str(own)], **how)
        for test, one in part.items():
            result.take(test, one)
        reports.append(json.loads(json.dumps(report_json.document(result))))
    return reports


def merged(
    requirements: dict[str, Requirement], reports: Sequence[Report], *, incomplete: bool = False
) -> Result:
    """Return the result of all of them."""
    parts = [merging.part(Path(f"{n}.json"), one) for n, one in enumerate(reports)]
    return merging.merge(
        parts,
        requirements,
        suite=report_json.suite(),
        specification=TEXT,
        incomplete=incomplete,
    )


TESTS = st.lists(st.tuples(st.sampled_from(list(LEVELS)), st.sampled_from(SEEN)), min_size=1)


@settings(max_examples=25)
@given(tests=TESTS, data=st.data(), strict=st.booleans())
def test_wherever_a_run_is_cut_its_verdict_is_the_same(
    requirements: dict[str, Requirement], tests: list[Any], data: st.DataObject, *, strict: bool
) -> None:
    whole = judged(requirements, strict=strict)
    every = {f"test_{number}": said(name, verdict) for number, (name, verdict) in enumerate(tests)}
    for test, one in every.items():
        whole.take(test, one)
    whole.complete()
    places = st.lists(st.integers(0, len(tests)), min_size=1, max_size=3)
    cuts = sorted([0, *data.draw(places), len(tests)])
    parts = [dict(list(every.items())[begin:end]) for begin, end in pairwise(cuts)]
    reports = shards(requirements, parts, strict=strict)

    result = merged(requirements, data.draw(st.permutations(reports)))

    document = report_json.document(result)
    assert [one["tests"] for one in document.pop("shards")] == [len(part) for part in parts]
    uncut = report_json.document(whole)
    ends = [one.pop("run") for one in (document, uncut)]
    assert ends[0]["exit_status"] == ends[1]["exit_status"] == whole.exit_status
    assert document == uncut
    assert result.exit_status == whole.exit_status


@pytest.fixture
def three(requirements: dict[str, Requirement]) -> list[Report]:
    parts = [
        {"a": said("ONE-1"), "b": said("TWO-1")},
        {"c": said("TWO-1", Verdict.FAIL), "d": said("THREE-1")},
        {"e": said("FIVE-1")},
    ]
    return shards(requirements, parts)


def test_what_is_known_to_fail_may_pass_in_a_shard(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    verdicts = [one["requirements"].get("TWO-1", {}).get("verdict") for one in three]

    assert verdicts == ["PASS", "KNOWN_FAILURE", None]
    assert merged(requirements, three).verdicts["TWO-1"] is Verdict.KNOWN_FAILURE


def test_a_report_tells_nothing_of_the_hosts_own(three: list[Report]) -> None:
    assert "secret" not in json.dumps(three)


def test_a_shard_that_is_lost_is_not_taken_for_green(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    told = r"shard 2 of 3 is missing; tests are missing of TWO-1 \(1 of 2\), THREE-1 \(1 of 1\)"
    with pytest.raises(ReportError, match=told):
        merged(requirements, three[::2])

    result = merged(requirements, three[::2], incomplete=True)

    assert str(result.overall) == "partial"
    assert result.narrowed[0] == "shard 2 of 3 is missing"


def test_tests_that_a_shard_did_not_come_to_are_missed(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    del three[1]["shard"]["said"]["d"]
    with pytest.raises(ReportError, match=r"^tests are missing of THREE-1 \(1 of 1\)$"):
        merged(requirements, three)


def test_a_shard_that_was_interrupted_is_not_taken_for_green(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    three[2]["shard"]["ended"] = False
    with pytest.raises(ReportError, match=r"^shard 3 of 3 did not come to its end$"):
        merged(requirements, three)


def test_what_a_shard_left_out_stays_left_out(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    three[1]["narrowed"].append("examples: 100 of 1000")

    assert merged(requirements, three).narrowed == ["examples: 100 of 1000"]


def test_hosts_that_differ_are_all_told(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    three[1]["environment"] = {"system": "Linux", "cpus": 4}
    three[0]["environment"] = three[2]["environment"] = {"system": "Linux", "cpus": 2}

    result = merged(requirements, three)

    assert result.environment == {"system": "Linux", "cpus": "2 / 4"}
    assert [one["environment"]["cpus"] for one in result.merged] == [2, 4, 2]


CHANGES = {
    "version": (("implementation", "version"), "2"),
    "claims": (("claims",), ["core"]),
    "commit": (("suite", "commit"), "0"),
    "specification": (("shard", "specification"), "0"),
    "number of shards": (("shard", "of"), 4),
    "names of the tests": (("shard", "whole", "digest"), "0"),
    "strict": (("shard", "strict"), True),
    "known failures": (("shard", "implementation", "known_failures"), []),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_not_of_one_run_is_refused(
    requirements: dict[str, Requirement], three: list[Report], name: str
) -> None:
    (*way, last), value = CHANGES[name]
    place = three[2]
    for step in way:
        place = place[step]
    place[last] = value

    with pytest.raises(ReportError, match=r"2\.json .* are not of one run"):
        merged(requirements, three)


def test_what_another_suite_judged_is_refused(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    for one in three:
        one["suite"]["version"] = "0"
    with pytest.raises(ReportError, match="is by another suite"):
        merged(requirements, three)


def test_what_was_judged_by_another_text_is_refused(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    for one in three:
        one["shard"]["specification"] = "0"
    with pytest.raises(ReportError, match="was judged by another text"):
        merged(requirements, three)


def test_a_shard_that_is_given_twice_is_refused(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    with pytest.raises(ReportError, match="are the same shard"):
        merged(requirements, [*three, copy.deepcopy(three[1])])


def test_shards_that_overlap_are_refused(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    three[1]["shard"]["said"]["a"] = said("ONE-1")
    with pytest.raises(ReportError, match=r"both ran a: cut them in the same way"):
        merged(requirements, three)


def test_other_tests_than_there_were_are_refused(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    three[1]["shard"]["said"]["x"] = three[1]["shard"]["said"].pop("d")
    with pytest.raises(ReportError, match=r"did not run the tests that there were in all"):
        merged(requirements, three)


def test_a_report_of_no_shard_is_refused(
    requirements: dict[str, Requirement], three: list[Report]
) -> None:
    del three[0]["shard"]
    with pytest.raises(ReportError, match=r"0\.json: it is not of a shard"):
        merged(requirements, three)


def test_the_command_does_not_overwrite_a_shard(
    three: list[Report], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text(json.dumps(three[0]))

    assert main(["merge", str(tmp_path), f"--report={tmp_path}"]) == 2
    assert "holds one of the shards" in capsys.readouterr().err


def test_the_command_names_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", str(tmp_path / "none"), f"--report={tmp_path}"]) == 2
    assert "none: [Errno 2] No such file" in capsys.readouterr().err
