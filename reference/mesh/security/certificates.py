"""Certificate, key and authorities of a process: read, checked, and looked at for renewal.

Document: mTLS Configuration. Imported only where TLS is configured: what checks
the files takes as long to import as a tenth of a start.
"""

import contextvars
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ...config.tls import TLS
from ..errors import StartError
from ..telemetry import logging

OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Bits of a key file's mode that let others than its owner at it."""

CURVES = (ec.SECP256R1, ec.SECP384R1)
"""Of the keys that gRPC's TLS can sign with; besides, it takes RSA, and neither Ed25519."""


class CertificateError(StartError):
    """A file cannot be used; the message holds the field and the file's path."""


@dataclass(frozen=True, slots=True)
class Material:
    """What TLS needs, in PEM."""

    chain: bytes
    """The process's own certificate, then those between it and its authority."""
    key: bytes = field(repr=False)
    authorities: bytes


def read(files: TLS) -> Material:
    """Read the three files.

    Raises:
        CertificateError: one of them cannot be read, or others can read the key (TLS-10).
    """
    return Material(
        chain=_content("tls.cert_file", files.cert_file),
        key=_content("tls.key_file", files.key_file, forbidden=OTHERS),
        authorities=_content("tls.ca_file", files.ca_file),
    )


def check(material: Material, files: TLS, now: datetime) -> datetime:
    """Find what no connection could be made with (TLS-9); return until when the certificate lasts.

    Args:
        material: what was read.
        files: where it was read.
        now: the time.

    Raises:
        CertificateError: names the file.
    """
    own = _certificates(material.chain, "tls.cert_file", files.cert_file)[0]
    if (wrong := _outside_validity(own, now)) is not None:
        raise CertificateError(f"tls.cert_file: {files.cert_file}: {wrong}")
    key = _key(material.key, files.key_file)
    if key.public_key() != own.public_key():
        raise CertificateError(
            f"tls.key_file: {files.key_file}: is not the key of the certificate in"
            f" {files.cert_file}"
        )
    authorities = _certificates(material.authorities, "tls.ca_file", files.ca_file)
    # One of several may well be over: they are renewed by adding the next one.
    if all(found := [_outside_validity(each, now) for each in authorities]):
        raise CertificateError(f"tls.ca_file: {files.ca_file}: {found[0]}")
    return own.not_valid_after_utc


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Certificates:
    """The files of a process, as they were when they were last good.

    They are looked at when somebody asks for them, but no more often than at the
    interval; any thread may ask. What counts is their content: two files can have
    the same size, time and inode one after the other.

    Args:
        files: paths, and the interval in seconds.
        clock: seconds, never going back.
        now: the time.

    Raises:
        CertificateError: they cannot be used at all.
    """

    def __init__(
        self,
        files: TLS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Read and check them."""
        self._files = files
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        # What every line of the log bears is not known in a thread of gRPC's.
        self._context = contextvars.copy_context()
        self._trouble = ""
        self._due = clock() + files.reload_interval
        self._material = read(files)
        self._until = check(self._material, files, now())

    def __repr__(self) -> str:
        """Show which file, until when it lasts, and what is wrong with the next one."""
        trouble = f", {self._trouble}" if self._trouble else ""
        return f"Certificates({str(self._files.cert_file)!r}, until {self._until}{trouble})"

    def current(self) -> Material:
        """Return what the next connection is made with; another object once it was renewed."""
        with self._lock:
            if (now := self._clock()) >= self._due:
                self._due = now + self._files.reload_interval
                self._context.run(self._look)
            return self._material

    def _look(self) -> None:
        """Take what is in the files, if it is new and good (TLS-11)."""
        try:
            if (found := read(self._files)) != self._material:
                self._until = check(found, self._files, self._now())
                self._material = found
                logging.logger().info("certificate renewed", until=self._until.isoformat())
            trouble = ""
        except CertificateError as error:
            trouble = str(error)
            # Once, not at each look.
            if trouble != self._trouble:
                logging.logger().error(f"{trouble}; the old one stays in use")
        self._trouble = trouble


def _content(name: str, path: Path, *, forbidden: int = 0) -> bytes:
    """Return what is in a regular file whose mode has none of the forbidden bits."""
    try:
        # A pipe would make this wait for somebody who writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise CertificateError(f"{name}: {path}: is no regular file")
            if mode & forbidden:
                raise CertificateError(
                    f"{name}: {path}: others can get at it (mode {stat.S_IMODE(mode):04o});"
                    " it must be its owner's alone, as with mode 0600"
                )
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise CertificateError(f"{name}: {path}: {getattr(error, 'strerror', error)}") from error


def _certificates(pem: bytes, name: str, path: Path) -> list[x509.Certificate]:
    """Return the certificates in a file, of which there is one at least."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError(f"{name}: {path}: holds no certificate in PEM") from error


def _key(pem: bytes, path: Path) -> Any:
    """Return the key in a file."""
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise CertificateError(f"tls.key_file: {path}: is encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        # Whatever was said of it may quote it.
        raise CertificateError(f"tls.key_file: {path}: holds no private key in PEM") from None
    if isinstance(key, rsa.RSAPrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, CURVES):
        return key
    raise CertificateError(
        f"tls.key_file: {path}: is a key that gRPC's TLS does not sign with:"
        " use RSA, or ECDSA with P-256 or P-384"
    )


def _outside_validity(certificate: x509.Certificate, now: datetime) -> str | None:
    """Say why a certificate is not valid now; None when it is."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        return f"is not valid before {begin.isoformat()}"
    if now > end:
        return f"has expired at {end.isoformat()}"
    return None
