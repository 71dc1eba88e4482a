"""Fingerprints: the same for the same failure in another run, and for no other."""

import pytest

from conformance.harness.fingerprint import fingerprint, settled
from conformance.harness.judging import NonConformance


def of(what: str, expected: object, observed: object) -> str:
    error = NonConformance(what=what, expected=expected, observed=observed)
    return fingerprint(what=error.what, expected=error.expected, observed=error.observed)


SAME = {
    "a duration": ("delays", [0.1], [0.1012], [0.0987]),
    "a bound": ("late", "at most 250", "312", "298"),
    "a unit": ("late", "soon", "after 31 ms", "after 4 ms"),
    "a socket": ("file", None, "/scratch/bhab12cd34/s/x.sock", "/var/scratch/bhzz98yy76/s/x.sock"),
    "a directory": ("file", None, "/scratch/bhab12cd34", "/home/ci/tmp/bhzz98yy76"),
    "an address": ("address", None, "127.0.0.1:40123", "127.0.0.1:51877"),
    "a small PID": ("PID of the service", 37, "pid 41", "pid 99"),
    "one PID of several words": (
        "it",
        None,
        "Process(pid=41, status=1)",
        "Process(pid=7, status=1)",
    ),
    "a wait's end": ("it is so", "within 1 s", "not within 1 s: 3 are", "not within 1 s: 4 are"),
    "the end of a log": (
        "end",
        "not 0",
        "it ended\nlog: a\nstate: 2",
        "it ended\nlog: b\nstate: 2",
    ),
    "many numbers": ("lost", [], list(range(8, 40)), list(range(3, 77))),
    "a PID": ("PID", 31337, "pid 41230", "pid 99182"),
    "a time": ("log", None, "2026-11-26T11:02:03.123Z up", "2026-11-27T00:00:00+00:00 up"),
    "a DID": ("did", None, "did:key:z6MkpTHR8V", "did:key:z6Mku77qq1"),
    "a UUID": (
        "id",
        None,
        "8a6e0804-2bd0-4672-b79d-d97027f9071a",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
    ),
    "a digest": ("sha", None, "c0ffee01" * 8, "0badcafe" * 8),
    "drawn bytes": ("answer", None, r"b'\x08\x01\xff'", r"b'\x12\x00'"),
    "a token": ("token", None, "eyJhbGciOi1JF9x0fQ2kk3Aa", "eyJhbGciOi7Jk9x1fQ2Lm44b"),
    "an object": ("it", None, "<Thing at 0x7f3a12>", "<Thing at 0x55d0be>"),
}

OTHERS = {
    "a code": ("code", "OK", "INTERNAL", "UNKNOWN"),
    "a count": ("arrivals", 3, 4, 2),
    "an exit status": ("exit status", 0, 1, -9),
    "how a process ended": ("end", "ready", "it ended\nstate: 1", "it ended\nstate: 2"),
    "a version": ("version", "1.10.0", "1.9.0", "1.2.0"),
    "a method": ("x", None, "/a.v1.Service/Create", "/a.v1.Service/Delete"),
    "a file": ("files left", [], ["identity.sock"], ["x.draft"]),
    "a path's end": ("file", None, "/scratch/bhab12cd34/s/x.sock", "/scratch/bhab12cd34/s/y.sock"),
    "short bytes": ("order", None, "[b'1', b'2']", "[b'2', b'1']"),
}


@pytest.mark.parametrize("case", SAME)
def test_what_differs_from_run_to_run_does_not_count(case: str) -> None:
    what, expected, once, again = SAME[case]

    assert of(what, expected, once) == of(what, expected, again)


@pytest.mark.parametrize("case", OTHERS)
def test_another_failure_has_another_fingerprint(case: str) -> None:
    what, expected, once, again = OTHERS[case]

    assert of(what, expected, once) != of(what, expected, again)
    assert of(what, expected, once) != of(f"{what}, then", expected, once)


def test_the_number_of_a_process_does_not_count() -> None:
    assert of("2-service-identity: end", 0, 1) == of("4-service-identity: end", 0, 1)


def test_it_is_stable_over_releases() -> None:
    """Manifests hold them: whoever changes how they are made has to say so in the change log."""
    assert of("status", "OK", "INTERNAL") == "2278092dd851"
    assert settled(
        "Check at /scratch/bhab12cd34/s/x.sock took 12.5 ms, version 1.2.3, 3 of 4096"
    ) == ("Check at <path>/x.sock took <n> ms, version 1.2.3, 3 of <n>")
