"""Certificates of the suite: right ones, and others that are wrong in one thing."""

import datetime as dt
import ssl
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from conformance.harness.pki import (
    EXPIRED,
    NOT_YET_VALID,
    SERVER_ONLY,
    Authority,
    Certificate,
    Credentials,
    Pki,
    self_signed,
)

PKI = Pki()
OTHER = Authority()

NOW = dt.datetime.now(dt.UTC)
HOURS_36 = dt.timedelta(hours=36)

HOSTS = ("localhost", "127.0.0.1")


def _verified(  # noqa: PLR0913 - each is one thing that can be wrong
    certificate: Certificate,
    *,
    authority: bytes = PKI.authority.certificate,
    at: dt.datetime = NOW,
    client: bool = True,
    server: bool = True,
    name: str = "localhost",
) -> bool:
    """Tell whether a certificate is right, as the cryptography library has it."""
    leaf = x509.load_pem_x509_certificate(certificate.certificate)
    builder = PolicyBuilder().store(Store(x509.load_pem_x509_certificates(authority))).time(at)
    try:
        if client:
            builder.build_client_verifier().verify(leaf, [])
        if server:
            builder.build_server_verifier(x509.DNSName(name)).verify(leaf, [])
    except VerificationError:
        return False
    return True


ISSUE = PKI.authority.issue

WRONG: Mapping[str, tuple[Certificate, Mapping[str, Any], int]] = {
    "expired": (ISSUE("x", valid=EXPIRED), {"at": NOW - HOURS_36}, 10),
    "not yet valid": (ISSUE("x", valid=NOT_YET_VALID), {"at": NOW + HOURS_36}, 9),
    "for servers only": (ISSUE("x", usage=SERVER_ONLY), {"client": False}, 26),
    "of another authority": (OTHER.issue("x"), {"authority": OTHER.certificate}, 20),
    "for another name": (ISSUE("x", hosts=["elsewhere.test"]), {"name": "elsewhere.test"}, 62),
}
"""Certificate, what is right about it otherwise, and what OpenSSL says of it."""


def test_a_right_certificate_is_right_for_both_sides() -> None:
    assert _verified(ISSUE("x"))


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_one_is_wrong_in_that_one_thing(case: str) -> None:
    certificate, forgiven, _ = WRONG[case]

    assert not _verified(certificate)
    assert _verified(certificate, **forgiven)


def test_a_self_signed_one_is_of_no_authority_but_itself() -> None:
    certificate = self_signed("x")
    loaded = x509.load_pem_x509_certificate(certificate.certificate)

    loaded.verify_directly_issued_by(loaded)
    assert not _verified(certificate)
    right = x509.load_pem_x509_certificate(ISSUE("x").certificate)
    assert {one.oid for one in loaded.extensions} == {
        one.oid for one in right.extensions if one.oid != x509.AuthorityKeyIdentifier.oid
    }


def test_another_authority_has_the_same_name() -> None:
    ours, other = (
        x509.load_pem_x509_certificate(one.certificate) for one in (PKI.authority, OTHER)
    )

    assert ours.subject == other.subject
    assert ours.public_key() != other.public_key()


@pytest.mark.parametrize(
    "certificate",
    [ISSUE("x"), self_signed("x"), *(one for one, _, _ in WRONG.values())],
    ids=["right", "self-signed", *WRONG],
)
def test_every_certificate_has_its_own_key(certificate: Certificate) -> None:
    loaded = x509.load_pem_x509_certificate(certificate.certificate)

    assert load_pem_private_key(certificate.key, None).public_key() == loaded.public_key()
    assert loaded.serial_number == certificate.serial


def test_a_certificate_is_for_names_and_addresses() -> None:
    loaded = x509.load_pem_x509_certificate(ISSUE("x", hosts=HOSTS).certificate)

    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def _shaken(client: Credentials, server: Credentials, **offers: Any) -> tuple[int, Any]:
    """Shake hands in memory; return what a side says of the other's certificate, and the client."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.context(ssl.PROTOCOL_TLS_CLIENT, **offers).wrap_bio(
        to_client, to_server, server_hostname=client.server_name
    )
    theirs = server.context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(
        to_server, to_client, server_side=True
    )
    try:
        for side in (ours, theirs) * 3:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, ours
    except ssl.SSLError as error:
        return -1, error
    return 0, ours


def test_right_credentials_shake_hands() -> None:
    code, client = _shaken(PKI.client, PKI.server())

    assert (code, client.selected_alpn_protocol()) == (0, "h2")
    assert client.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("case", [one for one in WRONG if one != "for another name"])
def test_a_wrong_client_is_refused_for_that(case: str) -> None:
    certificate, _, code = WRONG[case]

    assert _shaken(PKI.showing(certificate), PKI.server())[0] == code


@pytest.mark.parametrize("case", [one for one in WRONG if one != "for servers only"])
def test_a_wrong_server_is_refused_for_that(case: str) -> None:
    certificate, _, code = WRONG[case]

    assert _shaken(PKI.client, PKI.showing(certificate))[0] == code


def test_who_signed_himself_is_refused_for_that() -> None:
    own = PKI.showing(self_signed("x"))

    assert _shaken(own, PKI.server())[0] == 18
    assert _shaken(PKI.client, own)[0] == 18


def test_who_shows_nothing_is_refused() -> None:
    code, error = _shaken(PKI.showing(None), PKI.server())

    assert (code, error.reason) == (-1, "PEER_DID_NOT_RETURN_A_CERTIFICATE")


def test_a_client_offers_what_it_is_told() -> None:
    _, none = _shaken(PKI.client, PKI.server(), alpn=())
    _, old = _shaken(PKI.client, PKI.server(), at_most=ssl.TLSVersion.TLSv1_2)

    assert none.selected_alpn_protocol() is None
    assert old.version() == "TLSv1.2"


def test_a_key_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    own, next_one = ISSUE("x"), ISSUE("x")
    certificate, key = own.write(tmp_path, "own")
    before = key.stat().st_ino
    assert (certificate.read_bytes(), key.read_bytes()) == (own.certificate, own.key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600

    assert next_one.write(tmp_path, "own") == (certificate, key)

    assert (certificate.read_bytes(), key.read_bytes()) == (next_one.certificate, next_one.key)
    assert key.stat().st_ino != before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["own.key", "own.pem"]


def test_nothing_shows_a_key() -> None:
    own = PKI.client.own
    assert own is not None

    assert "PRIVATE" not in f"{own!r} {PKI.client!r}"
    assert repr(PKI.client) == f"Credentials({hex(own.serial)[:10]})"
    assert repr(PKI.showing(None)) == "Credentials(none)"


def test_grpc_takes_them() -> None:
    assert isinstance(PKI.client.for_grpc(), grpc.ChannelCredentials)
    assert isinstance(PKI.showing(None).for_grpc(), grpc.ChannelCredentials)
    assert PKI.client.options() == (("grpc.ssl_target_name_override", "localhost"),)
