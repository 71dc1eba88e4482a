"""The report by its command: the page, the pictures, and what is printed."""

import base64
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.report.__main__ import UNUSABLE, main

from .saved import measured, transports, whole, write

PNG = b"\x89PNG\r\n\x1a\n"

PICTURES = ["latency", "ratios", "streams", "throughput"]


class Page(HTMLParser):
    """What a page refers to, and what it says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.alts: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action"):
                self.references.append(value or "")
            if name == "alt":
                self.alts.append(value or "")

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the report is made."""
    return tmp_path / "made" / "report"


def _page(out: Path) -> Page:
    return Page((out / "report.html").read_text(encoding="utf-8"))


def _width_and_height(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a run that has everything, which tests only read."""
    directory = tmp_path_factory.mktemp("whole")
    missing = [{"test": "test_native", "reason": "NOT RUN: no <h2load>"}]
    file = write(directory, *whole(), not_run=missing)
    assert main([str(file), "--out", str(directory / "report")]) == 0
    return directory / "report"


def test_a_report_is_whole(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == sorted(
        [f"{name}.png" for name in PICTURES] + ["report.html"]
    )
    for name in PICTURES:
        png = (made / f"{name}.png").read_bytes()
        assert png.startswith(PNG)
        assert _width_and_height(png)[0] == 1800
        assert len(png) > 20_000
    page = _page(made)
    assert "test_native: NOT RUN: no <h2load>" in page.words
    for told in ("example 1.2.3", "0123456789, with changes", "A Processor", "client on CPU 1"):
        assert told in page.words


def test_the_page_needs_nothing_besides_itself(made: Path) -> None:
    page = _page(made)

    assert len(page.references) == len(page.alts) == len(PICTURES)
    assert all(len(alt) > 80 for alt in page.alts)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    text = (made / "report.html").read_text(encoding="utf-8")
    assert "url(" not in text
    assert "@import" not in text
    start = "data:image/svg+xml;base64,"
    for reference in page.references:
        assert reference.startswith(start)
        drawn = ET.fromstring(base64.b64decode(reference.removeprefix(start)))  # noqa: S314 - ours
        links = [value for one in drawn.iter() for key, value in one.items() if "href" in key]
        assert all(link.startswith("#") for link in links)


def test_several_runs_are_compared(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write(tmp_path, *transports(), name="0001_a")
    other = write(tmp_path, *transports(tls=(3.0, 2.9, 3.1)), name="0002_b")

    assert main([str(one), str(other), "--out", str(out)]) == 0

    told = capsys.readouterr().out
    assert "| unary call | 64B | 1.00 ms | 1.00 ms | 2.000 (1.900-2.100) |" in told
    assert "B slower by 50.0 % than A" in told
    assert "B slower by 50.0 % than A" in _page(out).words
    assert sorted(path.name for path in out.glob("*.png")) == [
        *("latency-B.png", "latency.png", "ratios-B.png", "ratios.png"),
    ]


def test_pictures_of_an_earlier_report_do_not_stay(tmp_path: Path, out: Path) -> None:
    out.mkdir(parents=True)
    for name in ("latency.png", "streams-B.png", "mine.png"):
        (out / name).touch()

    main([str(write(tmp_path, measured("start", "identity", "unix"))), "--out", str(out)])

    assert sorted(path.name for path in out.iterdir()) == ["mine.png", "report.html"]
    assert "This run measured nothing over both the Unix socket and TCP+TLS." in _page(out).words


def test_the_newest_run_is_reported_unasked(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--out", str(out)]) == UNUSABLE
    assert capsys.readouterr().err.startswith(".benchmarks holds no saved run")

    (tmp_path / ".benchmarks" / "machine").mkdir(parents=True)
    write(tmp_path / ".benchmarks" / "machine", measured("start", "identity", "unix"))

    assert main(["--out", str(out)]) == 0
    assert "0001_a" in _page(out).words


def test_bad_input_is_refused_in_one_line(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(tmp_path, *transports())

    assert main([str(good), str(tmp_path / "none.json"), "--out", str(out)]) == UNUSABLE

    told = capsys.readouterr()
    assert told.err == f"{tmp_path}/none.json cannot be read: No such file or directory\n"
    assert told.out == ""
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(tmp_path, measured("start", "identity", "unix"))

    assert main([str(good), "--out", str(good)]) == UNUSABLE

    assert capsys.readouterr().err == f"{good} cannot be written: File exists\n"


def test_a_library_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("benchmarks.report.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert main([]) == UNUSABLE

    assert capsys.readouterr().err == "matplotlib is not installed: pip install -e '.[bench]'\n"
