"""Where an exchange is cut."""

from conformance.harness.cuts import BLIND, EACH, cuts, frame_ends, record_ends

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes([0, 0, 6, 4, 0, 0, 0, 0, 0]) + bytes(6)
DATA = bytes([0, 0, 200, 0, 0, 0, 0, 0, 1]) + bytes(200)
HELLO = bytes([22, 3, 1, 0, 100]) + bytes(100)
APPLICATION = bytes([23, 3, 3, 1, 0]) + bytes(256)


def test_frames_end_where_their_lengths_say() -> None:
    assert frame_ends(PREFACE + SETTINGS + DATA) == [24, 39, 248]
    assert frame_ends(SETTINGS + DATA[:50]) == [15, 224]


def test_records_end_where_their_lengths_say() -> None:
    assert record_ends(HELLO + APPLICATION) == [105, 366]


def test_cuts_are_beside_the_ends_and_in_the_middle_of_long_frames() -> None:
    assert cuts(PREFACE + SETTINGS + DATA) == [
        0, 1, 23, 24, 25, 38, 39, 40, 143, 247, 248,
    ]  # fmt: skip
    assert cuts(HELLO)[:4] == [0, 1, 52, 104]


def test_every_cut_is_each_byte_and_what_nobody_recorded_is_cut_blindly() -> None:
    assert cuts(SETTINGS, every=True) == list(range(16))
    assert cuts(None) == list(range(0, BLIND, EACH))
