"""Published sockets: what may be at the path, what is left there, who may use it."""

import fcntl
import grp
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reference.mesh import sockets
from reference.mesh.sockets import Permissions, PublishedSocket, SocketError, permissions

OWNER = Permissions(0o600, 0o700, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s" / "identity.sock"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as one:
        yield one


def _publish(published: PublishedSocket, listener: socket.socket) -> None:
    with published.publishing() as private:
        assert private.name == ".identity"
        listener.bind(str(private))
        listener.listen()


def test_a_socket_is_published_listening_and_withdrawn(path: Path, listener: socket.socket) -> None:
    published = PublishedSocket(path, OWNER)

    with published.publishing() as private:
        listener.bind(str(private))
        assert os.listdir(path.parent) == [".identity"]
        listener.listen()

    assert sockets.is_live(path)
    assert oct(path.stat().st_mode & 0o7777) == "0o600"
    assert oct(path.parent.stat().st_mode & 0o7777) == "0o700"
    assert os.listdir(path.parent) == ["identity.sock"]
    assert repr(published) == f"PublishedSocket({str(path)!r}, published=True)"
    published.withdraw()
    assert os.listdir(path.parent) == []


def test_withdrawing_leaves_what_took_its_place(path: Path, listener: socket.socket) -> None:
    published = PublishedSocket(path, OWNER)
    _publish(published, listener)
    path.unlink()
    path.write_text("somebody else's")

    published.withdraw()

    assert path.read_text() == "somebody else's"


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(
    path: Path, listener: socket.socket
) -> None:
    _publish(PublishedSocket(path, OWNER), listener)

    with (
        socket.socket(socket.AF_UNIX) as second,
        pytest.raises(SocketError, match="a running service has this socket"),
    ):
        _publish(PublishedSocket(path, OWNER), second)
    listener.close()
    with socket.socket(socket.AF_UNIX) as third:
        _publish(PublishedSocket(path, OWNER), third)

        assert sockets.is_live(path)


def test_a_full_backlog_is_live(path: Path, listener: socket.socket) -> None:
    path.parent.mkdir()
    listener.bind(str(path))
    listener.listen(0)
    waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(8)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(str(path))

    assert sockets.is_live(path)

    for one in waiting:
        one.close()


def test_what_fails_to_bind_leaves_nothing(path: Path) -> None:
    with (
        pytest.raises(SocketError, match=r"identity\.sock"),
        PublishedSocket(path, OWNER).publishing(),
    ):
        pass

    assert os.listdir(path.parent) == []


def test_a_group_may_use_the_socket(path: Path, listener: socket.socket) -> None:
    group = os.getgid()

    _publish(PublishedSocket(path, permissions(str(group))), listener)

    assert permissions(grp.getgrgid(group).gr_name) == Permissions(0o660, 0o750, group)
    assert (path.stat().st_gid, oct(path.stat().st_mode & 0o777)) == (group, "0o660")


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(SocketError, match="socket_group: there is no group 'no such'"):
        permissions("no such")


def test_a_directory_that_is_open_to_all_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)

    with pytest.raises(SocketError, match="anybody can write"):
        sockets.make_directory(path.parent, OWNER)
    path.parent.chmod(0o1777)
    sockets.make_directory(path.parent, OWNER)


def test_a_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SocketError, match=r"socket_dir: .*Not a directory"):
        sockets.make_directory(tmp_path / "file" / "s", OWNER)


def test_of_two_that_make_the_directory_at_once_both_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, found = tmp_path / "s", iter([False, True])
    directory.mkdir()
    # It was not there when this one looked.
    monkeypatch.setattr(Path, "is_dir", lambda _self: next(found))

    sockets.make_directory(directory, OWNER)

    assert list(found) == []


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("a file")

    with pytest.raises(SocketError, match="File exists"):
        sockets.make_directory(tmp_path / "s", OWNER)


def test_a_directory_that_somebody_holds_is_waited_for_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "LOCK_TIMEOUT", 0.02)
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)

    with (
        pytest.raises(SocketError, match="another process holds its lock"),
        sockets.locked(tmp_path),
    ):
        pass
    os.close(held)
    with sockets.locked(tmp_path):
        pass


@pytest.mark.parametrize(("length", "fits"), [(107, True), (108, False)])
def test_the_longest_path(length: int, *, fits: bool) -> None:
    path = Path("/" + "x" * (length - 1))

    if fits:
        sockets.check_length(path)
    else:
        with pytest.raises(SocketError, match="107 bytes at most, this one 108"):
            sockets.check_length(path)
