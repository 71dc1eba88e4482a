"""The socket directory: which files are sockets of services, and what becomes of the watch."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from asyncinotify import Inotify
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from reference.mesh import directory
from reference.mesh.directory import SocketDirectory

from .mesh_place import HERE, Place, eventually


class Disturbances:
    """Counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@asynccontextmanager
async def _closing(sockets: SocketDirectory) -> AsyncIterator[SocketDirectory]:
    try:
        yield sockets
    finally:
        await sockets.close()


@pytest.mark.parametrize(
    ("file", "service"),
    [
        ("a.sock", ("a", "")),
        ("Iden.ti_ty-2.sock", ("Iden.ti_ty-2", "")),
        ("a.sock.sock", ("a.sock", "")),
        ("a@1.2.3-rc.1+b.sock", ("a", "1.2.3-rc.1+b")),
        (f"{'x' * 63}.sock", ("x" * 63, "")),
        (f"{'x' * 64}.sock", None),
        ("a", None),
        ("a.sock~", None),
        ("a.sock\n", None),
        (".a.sock", None),
        (".sock", None),
        ("@1.0.0.sock", None),
        ("a@.sock", None),
        ("a@1.sock", None),
        ("a@1.0.0@1.0.0.sock", None),
        ("é.sock", None),
        ("a b.sock", None),
    ],
)
def test_names_of_files(file: str, service: tuple[str, str] | None) -> None:
    assert directory.service_of(file) == service
    if service:
        assert directory.file_of(service) == file


@settings(deadline=None)  # both cores may be busy
@given(st.text(alphabet="ab.@-_1+ \n/é\0"))
def test_no_other_name_becomes_a_service(file: str) -> None:
    service = directory.service_of(file)

    assert service is None or directory.file_of(service) == file


async def test_only_sockets_with_the_name_of_a_service_are_found(place: Place) -> None:
    path = place.listen("a@1.0.0.sock")
    for file in (".b.sock", "b", "b@1.sock"):
        place.listen(file)
    (place.directory / "file.sock").touch()
    (place.directory / "directory.sock").mkdir()
    os.mkfifo(place.directory / "fifo.sock")
    (place.directory / "link.sock").symlink_to(path)

    async with _closing(SocketDirectory(place.directory, Disturbances())) as sockets:
        assert sockets.look() == {("a", "1.0.0"): directory.identity_of(path)}
    assert directory.identity_of(place.directory / "link.sock") is None
    assert directory.identity_of(
        place.directory / "link.sock", follow=True
    ) == directory.identity_of(path)
    assert directory.identity_of(Path("/a\0b")) is None


def test_who_listens(place: Place) -> None:
    assert directory.listener(place.listen("a.sock")) == HERE
    with pytest.raises(ConnectionRefusedError):
        directory.listener(place.stale("b.sock"))
    with pytest.raises(FileNotFoundError):
        directory.listener(place.directory / "c.sock")
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        directory.listener(place.directory / ("x" * 108))


def test_who_has_a_full_backlog_listens(place: Place) -> None:
    place.bind("a.sock").listen(0)
    path = place.directory / "a.sock"
    with closing(socket.socket(socket.AF_UNIX)) as first:
        first.connect(str(path))
        # Linux lets one more wait than was asked for.
        assert directory.listener(path) == 0


async def test_a_socket_that_the_listing_misses_is_looked_at_by_itself(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.listen("a.sock")
    async with _closing(SocketDirectory(place.directory, Disturbances())) as sockets:
        before = sockets.look()
        monkeypatch.setattr(sockets, "_listed", dict)

        assert sockets.look() == {}
        assert sockets.look([("a", ""), ("gone", "")]) == before


async def test_a_directory_that_cannot_be_read_loses_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(_: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    place.listen("a.sock")
    async with _closing(SocketDirectory(place.directory, Disturbances())) as sockets:
        before = sockets.look()
        monkeypatch.setattr(os, "scandir", scandir)
        with capture_logs() as logs:
            looks = [sockets.look(before) for _ in range(3)]

        assert looks == [before] * 3
        assert [each["error"] for each in logs] == [f"{place.directory}: Permission denied"]
        assert repr(sockets) == (
            f"SocketDirectory('{place.directory}', {place.directory}: Permission denied)"
        )


async def test_without_a_watch_the_directory_is_still_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_watch(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    place.listen("a.sock")
    disturbances = Disturbances()
    async with _closing(SocketDirectory(place.directory, disturbances)) as sockets:
        assert "not watched" in repr(sockets)
        with monkeypatch.context() as broken, capture_logs() as logs:
            broken.setattr(Inotify, "add_watch", add_watch)
            assert list(sockets.look()) == [("a", "")]
            assert list(sockets.look()) == [("a", "")]
        assert [each["error"] for each in logs] == [f"{place.directory}: No space left on device"]

        # And watched as soon as that is possible.
        sockets.look()
        place.listen("b.sock")
        await eventually(lambda: disturbances.count > 0)


async def test_a_watch_that_breaks_is_told_and_set_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(_: Inotify) -> None:
        raise OSError(5, "Input/output error")

    disturbances = Disturbances()
    async with _closing(SocketDirectory(place.directory, disturbances)) as sockets:
        with monkeypatch.context() as broken, capture_logs() as logs:
            broken.setattr(Inotify, "get", get)
            sockets.look()
            await eventually(lambda: bool(logs))
        assert "Input/output error" in logs[0]["error"]

        sockets.look()
        place.listen("a.sock")
        await eventually(lambda: disturbances.count > 0)


async def test_when_it_is_closed_nothing_is_open(place: Place) -> None:
    sockets = SocketDirectory(place.directory, Disturbances())
    sockets.look()
    watching = sockets._inotify
    assert watching

    await sockets.close()

    assert sockets._reader
    assert sockets._reader.done()
    with pytest.raises(ValueError, match="closed inotify"):
        _ = watching.fd
    assert "not watched" in repr(sockets)
    await SocketDirectory(place.directory, Disturbances()).close()


async def test_only_the_directory_at_the_path_is_watched(place: Place) -> None:
    disturbances = Disturbances()
    async with _closing(SocketDirectory(place.directory, disturbances)) as sockets:
        sockets.look()
        away = place.directory.rename(place.root / "away")
        place.directory.mkdir()
        sockets.look()
        watching = sockets._inotify
        assert watching
        # The old watch is forgotten when the event of its end was read, the last of the past.
        await eventually(lambda: len(watching.watches) == 1)
        before = disturbances.count

        (away / "unseen").touch()
        (place.directory / "seen").touch()
        await eventually(lambda: disturbances.count > before)

        # Events come in order: one of the other directory would be counted by now.
        assert disturbances.count == before + 1


async def test_a_directory_that_comes_is_noticed_when_it_comes(place: Place) -> None:
    disturbances = Disturbances()
    place.directory.rmdir()
    async with _closing(SocketDirectory(place.directory, disturbances)) as sockets:
        assert sockets.look() == {}

        place.directory.mkdir()
        await eventually(lambda: disturbances.count > 0)
        sockets.look()
        before = disturbances.count
        place.listen("a.sock")
        await eventually(lambda: disturbances.count > before)

        assert list(sockets.look()) == [("a", "")]
