"""Saved runs as they are read, and files that are none."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report.runs import BadInputError, Missing, newest, read
from benchmarks.series import Interval

from .saved import SURE, TWICE, measured, run, saved, transports, write


def test_a_run_is_read_whole(tmp_path: Path) -> None:
    found = run(tmp_path, *transports(calls=7))

    one = found.arms("unary call", "64B")["tls"]
    assert (one.arm, one.calls, one.median, one.share) == ("tls", 7, 1e-3, 0.25)
    assert one.ratios == {"unix": Interval(*TWICE), "bare-unix": Interval(*TWICE)}
    assert found.control("unary call", "64B") == Interval(*SURE)
    assert (found.implementation, found.commit) == ("example 1.2.3", "0123456789, with changes")
    assert (found.date, found.cpu) == ("2026-01-02 03:04 UTC", "A Processor, 2 CPUs")
    assert found.python == "CPython 3.12.1, grpcio 1.2.3"


def test_what_was_not_run_is_told_where_it_was_saved(tmp_path: Path) -> None:
    told = [{"test": "a", "reason": "NOT RUN: no h2load"}]

    assert run(tmp_path, *transports(), not_run=told).not_run == (
        Missing("a", "NOT RUN: no h2load"),
    )

    older = saved(*transports())
    del older["not_run"], older["client"]
    (tmp_path / "older.json").write_text(json.dumps(older))
    assert read(tmp_path / "older.json").not_run is None


def _without_extra_info() -> dict[str, Any]:
    return measured("a", "b", "c") | {"extra_info": {}}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not JSON: Expecting value"),
        (b"\xff\xfe", "is not JSON: 'utf-8' codec can't decode"),
        (b'{"a": NaN}', "is not JSON: NaN is no number"),
        (b"[]", "is no saved run of these benchmarks: in the file, [] is not of type 'object'"),
        (b"{}", "is no saved run of these benchmarks: in the file, 'datetime' is a required"),
        (
            json.dumps(saved()).encode(),
            "is no saved run of these benchmarks: in benchmarks, [] should be non-empty",
        ),
        (
            json.dumps(saved(_without_extra_info())).encode(),
            "is no saved run of these benchmarks: in benchmarks.0.extra_info, 'question' is a",
        ),
    ],
    ids=["empty", "bytes", "NaN", "list", "object", "no benchmarks", "no extra_info"],
)
def test_another_file_is_refused_in_a_sentence(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(content)

    with pytest.raises(BadInputError) as refused:
        read(file)

    assert str(refused.value).startswith(f"{file} {sentence}")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300 + len(str(file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"none\.json cannot be read: No such file"):
        read(tmp_path / "none.json")


def test_the_newest_run_is_that_saved_last(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="holds no saved run"):
        newest(tmp_path)

    for at, machine in enumerate(("b", "a")):
        (tmp_path / machine).mkdir()
        file = write(tmp_path / machine, *transports(), name=f"000{2 - at}_x")
        os.utime(file, (at, at))

    assert newest(tmp_path) == tmp_path / "a" / "0001_x.json"
