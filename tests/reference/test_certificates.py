"""The files of TLS: every way in which they cannot be used, and what becomes of new ones."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from structlog.testing import capture_logs

from reference.mesh.errors import StartError
from reference.mesh.security.certificates import Certificates, Material

from .authority import DAY, Authority, Files, Pair, private

CA = Authority()

ROOT = os.geteuid() == 0


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, CA.issue("localhost"), CA.pem)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def _put(**how: Any) -> Callable[[Files], None]:
    return lambda files: files.put(CA.issue(**how))


def _encrypted(files: Files) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    files.key.write_bytes(private(key, BestAvailableEncryption(b"secret")))


def _pipe(files: Files) -> None:
    files.certificate.unlink()
    os.mkfifo(files.certificate)


def _directory(files: Files) -> None:
    files.authorities.unlink()
    files.authorities.mkdir()


BAD: dict[str, tuple[Callable[[Files], Any], str]] = {
    "no certificate": (
        lambda files: files.certificate.unlink(),
        "tls.cert_file: {0}/cert.pem: No such file or directory",
    ),
    "no key": (
        lambda files: files.key.unlink(),
        "tls.key_file: {0}/key.pem: No such file or directory",
    ),
    "no authorities": (
        lambda files: files.authorities.unlink(),
        "tls.ca_file: {0}/ca.pem: No such file or directory",
    ),
    "a pipe": (_pipe, "tls.cert_file: {0}/cert.pem: is no regular file"),
    "a directory": (_directory, "tls.ca_file: {0}/ca.pem: Is a directory"),
    "an empty certificate": (
        lambda files: files.certificate.write_bytes(b""),
        "tls.cert_file: {0}/cert.pem: holds no certificate in PEM",
    ),
    "half a certificate": (
        lambda files: files.certificate.write_bytes(files.certificate.read_bytes()[:300]),
        "tls.cert_file: {0}/cert.pem: holds no certificate in PEM",
    ),
    "a certificate of nonsense": (
        lambda files: files.certificate.write_bytes(
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        ),
        "tls.cert_file: {0}/cert.pem: holds no certificate in PEM",
    ),
    "bytes as authorities": (
        lambda files: files.authorities.write_bytes(b"\xff\x00"),
        "tls.ca_file: {0}/ca.pem: holds no certificate in PEM",
    ),
    "a key as authority": (
        lambda files: files.authorities.write_bytes(files.key.read_bytes()),
        "tls.ca_file: {0}/ca.pem: holds no certificate in PEM",
    ),
    "a certificate as key": (
        lambda files: files.key.write_bytes(files.certificate.read_bytes()),
        "tls.key_file: {0}/key.pem: holds no private key in PEM",
    ),
    "half a key": (
        lambda files: files.key.write_bytes(files.key.read_bytes()[:100]),
        "tls.key_file: {0}/key.pem: holds no private key in PEM",
    ),
    "an encrypted key": (_encrypted, "tls.key_file: {0}/key.pem: is encrypted"),
    "the key of another": (
        lambda files: files.key.write_bytes(CA.issue("localhost").key),
        "tls.key_file: {0}/key.pem: is not the key of the certificate in {0}/cert.pem",
    ),
    "a key for the group": (
        lambda files: files.key.chmod(0o640),
        "tls.key_file: {0}/key.pem: others can get at it (mode 0640)",
    ),
    "a key for all to write": (
        lambda files: files.key.chmod(0o602),
        "tls.key_file: {0}/key.pem: others can get at it (mode 0602)",
    ),
    "an Ed25519 key": (
        _put(key=ed25519.Ed25519PrivateKey.generate()),
        "tls.key_file: {0}/key.pem: is a key that gRPC's TLS does not sign with",
    ),
    "a key on another curve": (
        _put(key=ec.generate_private_key(ec.SECP521R1())),
        "tls.key_file: {0}/key.pem: is a key that gRPC's TLS does not sign with",
    ),
    "expired": (
        _put(begin=-2 * DAY, end=-DAY),
        "tls.cert_file: {0}/cert.pem: has expired at 2",
    ),
    "not yet valid": (
        _put(begin=DAY, end=2 * DAY),
        "tls.cert_file: {0}/cert.pem: is not valid before 2",
    ),
    "expired authorities": (
        lambda files: files.authorities.write_bytes(
            Authority(begin=-3 * DAY, end=-2 * DAY).pem + Authority(begin=-3 * DAY, end=-DAY).pem
        ),
        "tls.ca_file: {0}/ca.pem: has expired at 2",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused_by_field_and_file(
    files: Files, tmp_path: Path, case: str
) -> None:
    Certificates(files.tls())

    spoil, told = BAD[case]
    spoil(files)

    with pytest.raises(StartError) as caught:
        Certificates(files.tls())
    assert str(caught.value).startswith(told.format(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(ROOT, reason="root reads everything")
def test_an_unreadable_file_is_refused(files: Files) -> None:
    files.certificate.chmod(0)

    with pytest.raises(StartError, match=r"cert\.pem: Permission denied"):
        Certificates(files.tls())


def test_what_the_system_says_of_a_file_is_told(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("reference.mesh.security.certificates.os.open", refuse)

    with pytest.raises(StartError, match=r"tls\.cert_file: .*cert\.pem: Permission denied"):
        Certificates(files.tls())


def test_a_path_that_is_none_is_refused(files: Files) -> None:
    with pytest.raises(StartError, match=r"tls\.ca_file: .*null byte"):
        Certificates(files.tls(ca_file=Path("a\0b")))


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=["RSA", "P-256", "P-384"],
)
def test_keys_that_tls_takes(files: Files, key: Any) -> None:
    pair = CA.issue("localhost", key=key)
    files.put(pair)

    assert Certificates(files.tls()).current() == Material(pair.certificate, pair.key, CA.pem)


def test_one_of_several_authorities_may_be_over(files: Files) -> None:
    both = Authority(begin=-2 * DAY, end=-DAY).pem + CA.pem
    files.authorities.write_bytes(both)

    assert Certificates(files.tls()).current().authorities == both


def test_a_key_is_never_shown(files: Files) -> None:
    certificates = Certificates(files.tls())

    for shown in (repr(certificates), repr(certificates.current()), repr(files.tls())):
        assert "PRIVATE" not in shown
    assert repr(certificates).startswith(f"Certificates('{files.certificate}', until 2")


def test_new_files_are_seen_after_the_interval(files: Files) -> None:
    clock = Clock()
    certificates = Certificates(files.tls(reload_interval=60.0), clock)
    old = certificates.current()
    new = CA.issue("localhost")
    files.put(new)

    clock.seconds += 59.9
    assert certificates.current() is old

    clock.seconds += 0.1
    with capture_logs() as lines:
        assert certificates.current() == Material(new.certificate, new.key, CA.pem)
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("info", "certificate renewed")
    ]


def test_no_file_is_read_within_the_interval(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    certificates = Certificates(files.tls(reload_interval=60.0), clock)
    looks: list[Path] = []
    original = os.open

    def opened(path: Path, flags: int) -> int:
        looks.append(path)
        return original(path, flags)

    monkeypatch.setattr("reference.mesh.security.certificates.os.open", opened)
    for _ in range(3):
        certificates.current()
    assert looks == []

    clock.seconds += 60
    for _ in range(3):
        certificates.current()
    assert looks == [files.certificate, files.key, files.authorities]


def test_the_same_content_is_nothing_new(files: Files) -> None:
    certificates = Certificates(files.tls())
    old = certificates.current()

    for path in (files.certificate, files.key, files.authorities):
        path.write_bytes(path.read_bytes())

    with capture_logs() as lines:
        assert certificates.current() is old
    assert lines == []


def test_new_content_is_seen_whatever_the_files_time_says(files: Files) -> None:
    files.authorities.write_bytes(CA.pem)
    certificates = Certificates(files.tls())
    before = files.authorities.stat()

    files.authorities.write_bytes(CA.pem[:-1] + b" ")
    os.utime(files.authorities, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert certificates.current().authorities == CA.pem[:-1] + b" "


@pytest.mark.parametrize("case", BAD)
def test_new_files_that_cannot_be_used_are_told_once_and_left(
    files: Files, tmp_path: Path, case: str
) -> None:
    certificates = Certificates(files.tls())
    old = certificates.current()

    spoil, told = BAD[case]
    spoil(files)

    with capture_logs() as lines:
        assert certificates.current() is old
        assert certificates.current() is old
    (line,) = lines
    assert line["log_level"] == "error"
    assert line["event"].startswith(told.format(tmp_path))
    assert line["event"].endswith("; the old one stays in use")
    assert told.format(tmp_path) in repr(certificates)


def test_files_that_are_written_one_after_the_other_are_taken_together(files: Files) -> None:
    certificates = Certificates(files.tls())
    old, new = certificates.current(), CA.issue("localhost")

    files.certificate.write_bytes(new.certificate)
    with capture_logs() as lines:
        assert certificates.current() is old
    assert ["key.pem: is not the key" in line["event"] for line in lines] == [True]

    files.key.write_bytes(new.key)
    assert certificates.current() == Material(new.certificate, new.key, CA.pem)

    # The same trouble is told anew once it was over.
    files.certificate.write_bytes(CA.issue("localhost").certificate)
    with capture_logs() as lines:
        certificates.current()
    assert len(lines) == 1


def test_a_certificate_that_is_ahead_of_time_is_taken_when_its_time_comes(files: Files) -> None:
    now = datetime.now(UTC)
    certificates = Certificates(files.tls(), now=lambda: now)
    old = certificates.current()
    files.put(CA.issue("localhost", begin=timedelta(hours=1)))

    with capture_logs():
        assert certificates.current() is old

    now += timedelta(hours=2)
    assert certificates.current() is not old


def test_any_thread_may_ask_and_its_lines_bear_the_same(files: Files) -> None:
    import structlog  # noqa: PLC0415

    pairs = [Pair(files.certificate.read_bytes(), files.key.read_bytes()), CA.issue("localhost")]
    expected = {pair.certificate for pair in pairs}
    with structlog.contextvars.bound_contextvars(service="x"):
        certificates = Certificates(files.tls())
    seen: set[bytes] = set()

    def ask() -> None:
        for _ in range(50):
            seen.add(certificates.current().chain)

    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        files.put(pairs[1])
        for thread in threads:
            thread.join()
        certificates.current()

    assert seen <= expected
    assert certificates.current().chain == pairs[1].certificate
    assert {line["service"] for line in lines} == {"x"}
