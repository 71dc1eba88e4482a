"""Secrets are found in what is told, whole and in part."""

import pytest

from conformance.harness import secrecy

PART = "eyJhbGciOiJFZERTQSIsImtpZCI6InN1aXRlIn0"


@pytest.mark.parametrize(
    "text",
    [PART, f'{{"reason": "{PART}"}}', f"…{PART[-16:]}", f"x{PART[5:21]}x"],
    ids=["whole", "in-a-line", "end", "middle"],
)
def test_sixteen_characters_tell_a_secret(text: str) -> None:
    assert secrecy.told(text, [PART, "another-secret-of-that-length"]) == [PART]


@pytest.mark.parametrize("text", ["", PART[:15], PART.upper(), "an ordinary line of the log"])
def test_less_tells_none(text: str) -> None:
    assert secrecy.told(text, [PART]) == []


def test_short_secrets_are_found_whole_and_the_shortest_not_at_all() -> None:
    assert secrecy.told("not-a-token, in full", ["not-a-token", "not-a-tok", "in full"]) == [
        "not-a-token",
        "not-a-tok",
    ]
    assert secrecy.told("not-a-toke", ["not-a-token"]) == []


def test_metadata_fall_into_the_parts_of_their_tokens() -> None:
    entries: list[tuple[str, str | bytes]] = [
        ("authorization", "Bearer one.t_w-o."),
        ("cookie", "a=b"),
        ("x-bin", b"x.y"),
    ]

    parts = [part for part in secrecy.of_metadata(entries) if part]

    assert parts == ["Bearer", "one", "t_w-o", "a", "b", "x", "y"]


def test_a_key_is_its_lines() -> None:
    pem = b"-----BEGIN PRIVATE KEY-----\nMIGH\nAgEA\n-----END PRIVATE KEY-----\n"

    assert secrecy.of_key(pem) == ["MIGH", "AgEA"]
