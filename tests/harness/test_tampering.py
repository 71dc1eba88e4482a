"""What changes a store behind its service's back: finds a payload in each form, and only it."""

import base64
import secrets
from pathlib import Path

import pytest

from conformance.harness.judging import Untestable
from conformance.harness.tampering import tamper

PAYLOAD = secrets.token_bytes(512)

FORMS = {
    "as it is": PAYLOAD,
    "base64": base64.b64encode(PAYLOAD),
    "hexadecimal": PAYLOAD.hex().encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_byte_is_changed_in_each_place(tmp_path: Path, form: str) -> None:
    kept = b"before" + FORMS[form] + b"between" + FORMS[form]
    (tmp_path / "deep").mkdir()
    files = [tmp_path / "one", tmp_path / "deep" / "two"]
    for file in files:
        file.write_bytes(kept)
    (tmp_path / "other").write_bytes(b"other")

    changed = tamper(tmp_path, PAYLOAD)

    assert sorted(changed) == sorted(files)
    for file in files:
        pairs = zip(file.read_bytes(), kept, strict=True)
        assert sum(one != other for one, other in pairs) == 2
    assert (tmp_path / "other").read_bytes() == b"other"


def test_a_copy_that_is_torn_apart_is_changed_too(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_bytes(PAYLOAD[:20] + b"a border" + PAYLOAD[20:] + PAYLOAD)

    tamper(tmp_path, PAYLOAD)

    content = file.read_bytes()
    assert PAYLOAD[20:] not in content
    assert len(content) == 2 * len(PAYLOAD) + len(b"a border")


def test_a_payload_that_stands_nowhere_cannot_be_changed(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"something else")

    with pytest.raises(Untestable, match="stands nowhere"):
        tamper(tmp_path, PAYLOAD)
