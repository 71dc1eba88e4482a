"""Secrets leave no trace in what is written, and what is none stays as it is."""

import json
import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness import requirements, secrecy
from conformance.harness.pki import Authority
from conformance.harness.printable import printable
from conformance.harness.redaction import Secrets, redacted, redacted_bytes
from conformance.harness.security import shared_issuer
from conformance.harness.tokens import encoded

ISSUER = shared_issuer()
TOKEN = ISSUER.token("alice")
KEY = Authority().issue("somebody").key
SECRETS = [*TOKEN.split("."), *secrecy.of_key(KEY)]

MARK = r"\[redacted token sub=alice kid=suite-ed25519 #[0-9a-f]{8}\]"
KEY_MARK = r"\[redacted private key #[0-9a-f]{8}\]"

OTHERS = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJlLW9mLWl0cy1vd24"
"""A token that the suite never saw."""

FORMS = {
    "header": (f"authorization: Bearer {TOKEN}", f"authorization: Bearer {MARK}"),
    "log": (f'{{"a": "Bearer {TOKEN}", "b": 1}}', f'{{"a": "Bearer {MARK}", "b": 1}}'),
    "quoted-for-an-address": (f"x=Bearer%20{TOKEN}&y", f"x=Bearer%20{MARK}&y"),
    "cut-short": (f"{TOKEN[:-8]} …", r"\[redacted token sub=alice .*\] …"),
    "signature-alone": (f"it is {TOKEN.rpartition('.')[2]}.", rf"it is {MARK}\."),
    "part-of-the-signature": (f"<{TOKEN[-40:-20]}>", f"<{MARK}>"),
    "claims-alone": (f"<{TOKEN.split('.')[1]}>", r"<\[redacted part of a token #.*\]>"),
    "another-issuers": (f"got {OTHERS}", r"got \[redacted token sub=bob kid=k1 #.*\]"),
    "key": (f"<{KEY.decode()}>", rf"<{KEY_MARK}\n>"),
    "key-as-bytes": (repr(KEY), rf"b'{KEY_MARK}\\n'"),
    "key-in-json": (json.dumps(KEY.decode()), rf'"{KEY_MARK}\\n"'),
    "key-without-its-end": (KEY.decode()[:150], KEY_MARK),
    "key-without-its-beginning": (KEY.decode()[40:], rf"{KEY_MARK}\n"),
    "line-of-a-key": (KEY.decode().splitlines()[2], KEY_MARK),
}
"""What is written, and what becomes of it."""


@pytest.mark.parametrize(("text", "left"), FORMS.values(), ids=FORMS)
def test_no_secret_is_left_in_any_form(text: str, left: str) -> None:
    shown = redacted(text)

    assert re.fullmatch(left, shown), shown
    assert secrecy.told(shown, SECRETS) == []
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("authorization: Bearer abc-123", "authorization: Bearer *"),
        ("Authorization=ApiKey abc", "Authorization=ApiKey *"),
        ("('authorization', 'Bearer abc-123') x", "('authorization', 'Bearer *') x"),
        ("(b'authorization', b'Bearer abc-123')", "(b'authorization', b'Bearer *')"),
        ('{"authorization":["Bearer abc-123"]}', '{"authorization":["Bearer *"]}'),
        ('key: "authorization" value: "Basic YTpi="', 'key: "authorization" value: "Basic *"'),
        (
            "(key='authorization', value='Bearer abc-123')",
            "(key='authorization', value='Bearer *')",
        ),
        ("map[authorization:[Bearer abc-123]]", "map[authorization:[Bearer *]]"),
        ("sent Bearer abcdef-1234 twice", "sent Bearer * twice"),
    ],
)
def test_credentials_of_other_kinds_go_and_their_scheme_stays(text: str, left: str) -> None:
    shown = redacted(text)

    assert re.sub(r"\[redacted credential #[0-9a-f]{8}\]", "*", shown) == left
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "authorization: Bearer",
        "{'method': 'missing authorization', 'code': 16}",
        "authentication, authorization, the caller's rate limit",
        "a bearer credential is missing",
        "blackhole.identity.v1.IdentityService/ResolveDID",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----",
        f"sha256 {'0123456789abcdef' * 4}",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_the_law_holds_no_secret() -> None:
    for record in requirements.load().values():
        texts = (record.title, record.purpose, record.preconditions, record.why, record.differs)
        for text in (*texts, *record.procedure, *record.asserts):
            assert printable(text) == text


def test_the_same_secret_has_the_same_mark_and_another_has_another() -> None:
    marks = [redacted(text) for text in (TOKEN, TOKEN.rpartition(".")[2], f"{TOKEN}")]

    assert len(set(marks)) == 1
    assert redacted(ISSUER.token("alice")) not in marks


@given(before=st.text(max_size=40), after=st.text(max_size=40))
def test_a_secret_goes_whatever_stands_beside_it(before: str, after: str) -> None:
    for secret in (TOKEN, KEY.decode(), TOKEN.rpartition(".")[2]):
        assert secrecy.told(redacted(f"{before}{secret}{after}"), SECRETS) == []


@given(text=st.text())
def test_marking_twice_changes_nothing(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


def test_a_name_in_a_token_says_nothing_besides() -> None:
    part = encoded({"sub": "x]\x1b[31m\n<b>" + "y" * 999})
    hidden = encoded({"sub": TOKEN})

    shown = redacted(f"eyJhbGciOiJub25lIn0x.{part}.sig")

    assert re.fullmatch(r"\[redacted token sub=x\?\?\?31m\?\?b\?y+ #[0-9a-f]{8}\]", shown), shown
    assert secrecy.told(redacted(f"eyJhbGciOiJub25lIn0x.{hidden}.sig"), SECRETS) == []


def test_bytes_keep_everything_else() -> None:
    noise = os.urandom(64)

    assert redacted_bytes(noise) == noise
    assert TOKEN.encode() not in redacted_bytes(noise + TOKEN.encode() + noise)


def test_a_known_secret_is_found_in_part_and_short_parts_are_not() -> None:
    secrets = Secrets()
    secrets.add("abcdefghijklmnopqrstuvwxyz", "*")

    assert secrets.without("1 abcdefghijklmnopqrstuvwxyz 2") == "1 * 2"
    assert secrets.without("1 bcdefghijklmnop 2") == "1 * 2"
    assert secrets.without("1 bcdefghijklmno 2") == "1 bcdefghijklmno 2"


@pytest.mark.parametrize(
    "text",
    ["A" * 200_000, "x y z " * 40_000, "eyJ." * 50_000, "authorization: " * 10_000],
    ids=["letters", "words", "beginnings", "headers"],
)
def test_long_texts_take_no_time(text: str) -> None:
    began = time.process_time()

    redacted(text + "-----END PRIVATE KEY-----")

    assert time.process_time() - began < 2.0
