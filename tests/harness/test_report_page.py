"""report.html: everything is there, leads somewhere, and does nothing by itself."""

import base64
import datetime as dt
import hashlib
import itertools
import re
from pathlib import Path

import pytest

from conformance.harness.known_failures import KnownFailure
from conformance.harness.reports import report_json
from conformance.harness.reports.page import page
from conformance.harness.reports.result import Result
from conformance.harness.reports.templating import TEMPLATES
from conformance.harness.verdicts import Verdict

from .reported import FIRST, LAW, Page, result


def _page(made: Result, directory: Path) -> str:
    return page(report_json.document(made), made.requirements, directory)


def _evidence(directory: Path, name: str, timeline: str) -> None:
    place = directory / name / "test_x"
    place.mkdir(parents=True)
    for file, text in (("story.md", "x"), ("timeline.txt", timeline)):
        (place / file).write_text(text, encoding="utf-8", errors="surrogatepass")


def test_each_verdict_has_a_place_of_its_own(tmp_path: Path) -> None:
    known = KnownFailure(
        FIRST[4], "it is late", "https://example.test/1", dt.date(2999, 1, 1), "bug"
    )
    seen = Page(_page(result(known=[known]), tmp_path))

    for heading in (
        *("Red: 4", "Inconclusive: 1", "Warnings: 1", "Known failures: 1"),
        *("Not run: 1", "Not claimed: 1", "Not selected: 2"),
    ):
        assert heading in seen.words
    assert "Known until 2999-01-01 (bug): it is late https://example.test/1" in seen.words
    assert {str(one["href"]) for one in seen.all("a")} >= {"https://example.test/1"}


def test_all_of_a_failure_is_told(tmp_path: Path) -> None:
    name = FIRST[list(Verdict).index(Verdict.FAIL)]
    _evidence(tmp_path, name, "".join(f"line {n}\n" for n in range(100)))
    text = _page(result(), tmp_path)
    seen = Page(text)

    for part in ("did", "looked at", "expected", "observed"):
        assert f"{part} a reason" in seen.words
    assert LAW[name].why.replace("`", "") in seen.words
    assert f"pytest -k {name}" in seen.words
    assert "line 99" in seen.words
    assert "line 70\n" not in seen.words
    links = {str(one["href"]) for one in seen.all("a")}
    assert {f"{name}/test_x/story.md", f"{name}/test_x/timeline.txt", "report.json"} <= links
    assert {link[1:] for link in links if link.startswith("#")} <= set(seen.ids)
    assert len(seen.ids) == len(set(seen.ids))


def test_a_page_needs_nothing_besides_itself(tmp_path: Path) -> None:
    text = _page(result(), tmp_path)
    seen = Page(text)

    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in seen.tags}
    assert all("src" not in attributes for _, attributes in seen.tags)
    (policy,) = [str(one["content"]) for one in seen.all("meta") if one.get("http-equiv", "")]
    assert policy.startswith("default-src 'none';")
    for element in ("style", "script"):
        (inside,) = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_headings_and_tables_are_marked_up(tmp_path: Path) -> None:
    seen = Page(_page(result(), tmp_path))

    levels = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(one.get("scope") for one in seen.all("th"))
    labelled = [str(one["aria-labelledby"]) for _, one in seen.tags if "aria-labelledby" in one]
    assert set(labelled) <= set(seen.ids)


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    known = KnownFailure(FIRST[4], "<b>", "javascript:alert(1)", dt.date(2999, 1, 1), "bug")
    _evidence(tmp_path, FIRST[8], "<script>alert(2)</script>\x1b[2J\u202e\udc80\n")
    text = _page(result(hostile=True, known=[known], narrowed=["<i>"]), tmp_path)
    seen = Page(text)

    text.encode()
    assert len(seen.all("script")) == 1
    assert not seen.all("img")
    assert not seen.all("b")
    assert not seen.all("i")
    assert not [one for one in seen.all("a") if str(one["href"]).startswith("javascript")]
    assert "<script>alert(1)</script>" in seen.words
    assert "<script>alert(2)</script>" in seen.words
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert r"\u202egnp\ud800" in seen.words


def test_who_fails_everything_gets_no_page_of_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.harness.reports.page._TIMELINES", 1)
    _evidence(tmp_path, FIRST[8], "a line of the timeline\n")

    words = Page(_page(result(), tmp_path)).words

    assert "More than 1 tests left evidence: timeline.txt stands there" in words
    assert "a line of the timeline" not in words


@pytest.mark.parametrize("verdicts", [(), (Verdict.PASS,)])
def test_what_there_is_none_of_is_not_there(tmp_path: Path, verdicts: tuple[Verdict, ...]) -> None:
    words = Page(_page(result(verdicts=verdicts), tmp_path)).words

    assert "Red:" not in words
    assert "Known failures" not in words
    assert f"Not selected: {len(FIRST) - len(verdicts)}" in words


def test_a_run_that_never_began_says_why(tmp_path: Path) -> None:
    made = result()
    made.preflight = "state: exit status 3"

    words = Page(_page(made, tmp_path)).words

    assert "did not become ready" in words
    assert "state: exit status 3" in words


def _light(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    whole = colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
    parts = [int(whole[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: int) -> None:
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    colours = dict(
        re.findall(r"--([\w-]+): (#\w+)", re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme])
    )
    pairs = [(name.removesuffix("-paper"), name) for name in colours if name.endswith("-paper")]
    assert len(pairs) == 5

    for text, ground in [*pairs, *itertools.product(("ink", "faint", "link"), ("paper", "soft"))]:
        low, high = sorted((_light(colours[text]), _light(colours[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_what_came_after_the_release_is_not_among_the_red(tmp_path: Path) -> None:
    made = result()
    report = report_json.document(made)
    report["requirements"][FIRST[8]]["scored"] = False

    words = Page(page(report, made.requirements, tmp_path)).words

    assert "Red: 3" in words
    assert "Not scored: 1" in words
    assert "· not scored" in words
