"""Files that are renewed: what is taken up, what is kept, and what is said of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reference.config.auth import TokenFile
from reference.mesh.errors import StartError
from reference.mesh.security.files import UnusableError, WatchedFile
from reference.mesh.security.own_token import own_token

from .minting import Clock


def _number(content: bytes) -> int:
    if not content.isdigit():
        raise UnusableError("is no number")
    return int(content)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    path.write_text("1")
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def watched(file: Path, clock: Clock) -> WatchedFile[int]:
    return WatchedFile("a.field", file, _number, 60.0, clock=clock)


def test_a_new_content_is_taken_up_at_the_interval(
    file: Path, clock: Clock, watched: WatchedFile[int]
) -> None:
    assert watched.current() == 1

    file.write_text("2")

    clock.time = 59.9
    assert watched.current() == 1
    clock.time = 60.0
    with capture_logs() as lines:
        assert watched.current() == 2
    assert lines == [
        {"event": "file renewed", "field": "a.field", "path": str(file), "log_level": "info"}
    ]


def test_the_same_content_is_the_same_object(file: Path, clock: Clock) -> None:
    watched = WatchedFile("a.field", file, lambda content: [content], 1.0, clock=clock)
    before = watched.current()

    file.write_text("1")
    clock.time = 1.0

    assert watched.current() is before


def _missing(path: Path) -> None:
    path.unlink()


def _broken(path: Path) -> None:
    path.write_text("x")


@pytest.mark.parametrize(
    ("breaks", "told"), [(_missing, "No such file or directory"), (_broken, "is no number")]
)
def test_a_broken_file_is_told_once_and_the_old_one_stays(
    file: Path,
    clock: Clock,
    watched: WatchedFile[int],
    breaks: Callable[[Path], None],
    told: str,
) -> None:
    breaks(file)

    with capture_logs() as lines:
        for clock.time in (60.0, 120.0):
            assert watched.current() == 1
    assert repr(watched) == f"WatchedFile({str(file)!r}, {told})"
    file.write_text("3")
    clock.time = 180.0

    assert watched.current() == 3
    assert repr(watched) == f"WatchedFile({str(file)!r})"
    assert lines == [
        {"event": f"a.field: {file}: {told}; the old one stays in use", "log_level": "error"}
    ]


def test_what_is_broken_at_start_is_an_error(file: Path) -> None:
    file.write_text("x")

    with pytest.raises(StartError) as caught:
        WatchedFile("a.field", file, _number, 1.0)

    assert str(caught.value) == f"a.field: {file}: is no number"


def _token_file(directory: Path, content: bytes, mode: int = 0o600) -> TokenFile:
    path = directory / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return TokenFile(path, 60.0)


@pytest.mark.parametrize("content", [b"a.b.c", b" a.b.c\r\n"])
def test_a_token_is_an_entry(tmp_path: Path, content: bytes) -> None:
    found = own_token(_token_file(tmp_path, content)).current()

    assert found == ("authorization", "Bearer a.b.c")


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (b"", 0o600, "is empty"),
        (b" \n", 0o600, "is empty"),
        (b"a b", 0o600, "holds no token"),
        (b"a\nb", 0o600, "holds no token"),
        (b"\xc3\xa9", 0o600, "holds no token"),
        (b"a\0b", 0o600, "holds no token"),
        (b"a", 0o640, "others can read it: its mode must be 0600 or less"),
        (b"a", 0o604, "others can read it: its mode must be 0600 or less"),
        (b"a", 0o602, "others can read it: its mode must be 0600 or less"),
    ],
)
def test_what_is_no_token_file_is_refused(
    tmp_path: Path, content: bytes, mode: int, told: str
) -> None:
    file = _token_file(tmp_path, content, mode)

    with pytest.raises(StartError) as caught:
        own_token(file)

    assert str(caught.value) == f"auth.token_file: {file.path}: {told}"


def test_a_missing_token_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"auth.token_file: .*/x: No such file"):
        own_token(TokenFile(tmp_path / "x", 60.0))


def test_a_token_that_others_may_read_is_not_taken_up(tmp_path: Path, clock: Clock) -> None:
    file = _token_file(tmp_path, b"old")
    watched = own_token(file, clock)
    _token_file(tmp_path, b"new", 0o644)
    clock.time = 60.0

    with capture_logs() as lines:
        kept = watched.current()
    file.path.chmod(0o600)
    clock.time = 120.0

    assert kept == ("authorization", "Bearer old")
    assert watched.current() == ("authorization", "Bearer new")
    assert "new" not in str(lines)
