"""Shards of a small suite, and what is made of them: the verdict of the run that was not cut."""

import json
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from conformance.commands.__main__ import main

from .conftest import Judge, Judged

MUST = ("MUST", "service")

REQUIREMENTS = {
    "FIRST-1": MUST,
    "CUT-1": MUST,
    "NOT-1": MUST,
    "KNOWN-1": MUST,
    "SHO-1": ("SHOULD", "service"),
    "OTHER-1": ("MUST", "client"),
    "LAST-1": MUST,
}
"""In the order of the text, which is not that of the tests."""

SOURCE = """
import os

def test_last_1_case():
    '''LAST-1: It holds.'''

@pytest.mark.parametrize("n", range(4))
def test_cut_1_case(n):
    '''CUT-1: It holds.'''
    expect(n == 3 and "CUT" in os.environ.get("BROKEN", ""), equals=False, what=f"case {n}")

@pytest.mark.parametrize("n", ["a/b::c", "d"])
def test_first_1_case(n):
    '''FIRST-1: It holds.'''

@pytest.mark.parametrize("n", range(3))
def test_known_1_case(n):
    '''KNOWN-1: It holds.'''
    expect(n == 2 and "KNOWN" in os.environ.get("BROKEN", ""), equals=False, what=f"case {n}")

def test_not_1_case():
    '''NOT-1: It holds.'''
    not_run("no root")

def test_sho_1_case():
    '''SHO-1: It holds.'''
    expect(1, equals=2, what="x")

def test_other_1_case():
    '''OTHER-1: It holds.'''
"""

KNOWN = """
[[known_failures]]
id = "KNOWN-1"
reason = "we know"
link = "https://example.org/1"
expires = 2999-01-01
kind = "bug"
"""

OF_THE_RUN = ("run", "seed", "environment", "shard", "shards", "narrowed")
"""What a merged report does not have in common with that of a run that was not cut."""

Run = Callable[..., Judged]


@pytest.fixture
def run(judge_suite: Judge) -> Run:
    """Run the small suite, or the shard of it with a number."""

    def judge(number: int = 0, of: int = 3, **how: Any) -> Judged:
        options = ("--no-preflight", *how.pop("options", ()))
        if number:
            options += (f"--splits={of}", f"--group={number}")
        report = f"shard{number}" if number else "whole"
        return judge_suite(SOURCE, REQUIREMENTS, options=options, report=report, **how)

    return judge


def merge(*reports: str, options: tuple[str, ...] = ()) -> tuple[int, dict[str, Any]]:
    """Merge; return the exit status and the report."""
    status = main(["merge", *reports, "--report=merged", "--specification=SPEC.md", *options])
    file = Path("merged", "report.json")
    return status, json.loads(file.read_text()) if file.exists() else {}


def comparable(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must be the same however a run was cut."""
    kept = {name: value for name, value in report.items() if name not in OF_THE_RUN}
    for requirement in kept["requirements"].values():
        for timed in (requirement, *requirement["cases"]):
            timed["seconds"] = 0
    return kept


def test_shards_hold_each_test_once_and_keep_the_order_of_the_text(run: Run) -> None:
    shards = [run(number).report["shard"] for number in (1, 2, 3)]

    said = [list(one["said"].values()) for one in shards]
    order = [one["requirement"] for one in chain.from_iterable(said)]
    names = [name for one in shards for name in one["said"]]
    assert order == sorted(order, key=list(REQUIREMENTS).index)
    assert len(set(names)) == len(names) == sum(shards[0]["whole"]["tests"].values()) == 13
    assert "test_small.py::test_first_1_case[a/b::c]" in names
    assert [one["whole"] for one in shards] == [shards[0]["whole"]] * 3


def test_merged_shards_come_to_what_the_whole_run_comes_to(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "CUT KNOWN")
    whole = run(manifest=KNOWN)
    for number in (1, 2, 3):
        run(number, manifest=KNOWN)

    status, report = merge("shard3", "shard1", "shard2/report.json")

    assert status == whole.status == 1
    assert comparable(report) == comparable(whole.report)
    assert report["narrowed"] == []
    assert [one["tests"] for one in report["shards"]] == [5, 5, 3]
    assert Path("merged", "CUT-1", "test_cut_1_case-3", "story.md").is_file()
    assert sorted(file.name for file in Path("merged").glob("junit*")) == [
        f"junit-{number}.xml" for number in (1, 2, 3)
    ]


def test_a_shard_says_what_it_is_and_is_no_more_than_partial(run: Run) -> None:
    judged = run(1, processes=("-n", "2"))

    assert judged.status == 0
    assert judged.report["verdict"] == "partial"
    assert judged.report["narrowed"] == ["shard 1 of 3"]
    assert "less than the whole run: shard 1 of 3" in judged.output
    assert sum(judged.report["shard"]["whole"]["tests"].values()) == 13


def test_a_shard_in_which_no_must_can_pass_is_not_red(run: Run) -> None:
    judged = run(7, 13)

    assert judged.verdicts == {"NOT-1": "NOT_RUN"}
    assert judged.report["verdict"] == "unknown"
    assert judged.status == 0


def test_a_shard_that_no_test_was_left_for_is_not_red(run: Run) -> None:
    judged = [run(number, 3, options=("-k", "cut_1")) for number in (1, 2, 3)]

    status, report = merge("shard1", "shard2", "shard3")

    assert [one.status for one in judged] == [0, 0, 0]
    assert [one.verdicts for one in judged] == [{"CUT-1": "PASS"}, {"CUT-1": "PASS"}, {}]
    assert (status, report["verdict"]) == (0, "partial")
    assert report["narrowed"] == ["keyword: cut_1"]
